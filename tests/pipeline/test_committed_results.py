"""The committed baseline: dvc.lock belongs to the code and parameters beside it."""

import json
from pathlib import Path

import pytest

from tests.pipeline.clones import ROOT, Clone
from tests.samples import DEMO

pytestmark = pytest.mark.slow


def test_dvc_lock_is_as_new_as_the_code_and_the_parameters(preloaded: str) -> None:
    """A failure means: run `make repro`, look at the figures, and commit dvc.lock and metrics/ with the change."""
    if (ROOT / "params.yaml").read_bytes() != DEMO.read_bytes():
        pytest.skip("params.yaml is not the demo's, which is what is committed")
    status = json.loads(Clone(ROOT, preloaded).dvc("status", "--json"))
    outdated = [
        f"{stage}: {path}"
        for stage, changes in status.items()
        for change in changes
        if isinstance(change, dict)
        for path, state in _changed(change)
        if state not in ("deleted", "not in cache")
    ]
    never_ran = [stage for stage, changes in status.items() if not _in_lock(stage)]
    assert outdated == []
    assert never_ran == []


def _changed(change: dict) -> list[tuple[str, str]]:
    """(path or parameter, what happened to it), without outputs: a clone has none until it has run."""
    found = []
    for path, state in change.get("changed deps", {}).items():
        found += list(state.items()) if isinstance(state, dict) else [(path, state)]
    return found


def _in_lock(stage: str) -> bool:
    folder, _, name = stage.rpartition(":")
    lock = ROOT / Path(folder).parent / "dvc.lock" if folder else ROOT / "dvc.lock"
    return lock.exists() and f"  {name}:\n" in lock.read_text()
