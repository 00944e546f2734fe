"""`.ci/environment`, which `make` calls to make .venv."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/environment"


def program(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.mark.parametrize("above", ["", "a folder"])
def test_an_activated_environment_does_not_replace_itself(tmp_path: Path, above: str) -> None:
    root, notes = tmp_path / above / "clone", tmp_path / "notes"
    (root / ".ci").mkdir(parents=True)
    shutil.copy(SCRIPT, root / ".ci")
    outside = tmp_path / "outside"
    for folder in (root / ".venv/bin", outside):
        for name in ("python3", "uv"):
            program(folder / name, f'echo "{folder / name}" "$@" >>"{notes}"; [ "$1" != -c ] || echo "{folder / name}"')
    path = os.pathsep.join(map(str, [root / ".venv/bin", outside, "/usr/bin", "/bin"]))
    subprocess.run(["sh", root / ".ci/environment"], env={"PATH": path}, check=True, capture_output=True)
    called = notes.read_text().splitlines()
    assert f"{outside / 'uv'} venv --quiet --clear --python {outside / 'python3'} .venv" in called
    assert not [line for line in called if line.startswith(str(root))]
