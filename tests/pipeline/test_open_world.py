"""Models fitted anew and images of no class, by the real dvc: what their keys start, and that nothing else reruns."""

import json

import pytest

from tests.pipeline.clones import Clone, ran

pytestmark = pytest.mark.slow

OWN = {"open_world@lda", "open_world_networks@hist_cnn", "cross_generator@lda", "unknown@tests"}


def test_they_start_where_they_are_named_and_rerun_nothing_else(clone: Clone) -> None:
    assert not any(name.split("@")[0] in {each.split("@")[0] for each in OWN} for name in stage_names(clone))
    clone.edit(
        "params.yaml",
        {
            "open_world.classifiers": ["lda"],
            "open_world.networks": ["hist_cnn"],
            "open_world.neighbours": 5,
            "cross_generator.classifiers": ["lda"],
        },
    )
    text, key = (clone.root / "params.yaml").read_text(encoding="utf-8"), "  unknown: {} #"
    assert key in text
    named = text.replace(key, "  unknown: {tests: data/demo/images/test} #")
    (clone.root / "params.yaml").write_text(named, encoding="utf-8")
    assert set(stage_names(clone)) >= OWN
    assert set(ran(clone.dvc("repro"))) == {"check", *OWN}
    for name in ("open_world/lda", "open_world/hist_cnn", "cross_generator/lda", "unknown/tests"):
        assert clone.json(f"metrics/{name}.json")
    assert json.loads(clone.dvc("status", "--json")) == {}
    clone.edit("params.yaml", {"open_world.neighbours": 6})
    assert set(ran(clone.dvc("repro"))) == {"check", "open_world@lda", "open_world_networks@hist_cnn"}


def stage_names(clone: Clone) -> list[str]:
    return clone.dvc("stage", "list", "--name-only").split()
