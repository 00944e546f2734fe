"""A DVC remote: what one clone pushes, another one uses without training."""

import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.clones import Clone, ran

pytestmark = pytest.mark.slow

IMAGES = "data/demo/images/test"


def test_a_fresh_clone_pulls_the_champion_and_everything_else_without_training(clone: Clone, tmp_path: Path) -> None:
    clone.dvc("remote", "add", "--default", "storage", str(tmp_path / "storage"))
    clone.commit()
    clone.dvc("push")
    fresh = Clone(tmp_path / "fresh", clone.path)
    clone.run("git", "clone", "-q", str(clone.root), str(fresh.root))
    assert not (fresh.root / "models").exists()

    fresh.dvc("pull", "models/champion")
    assert [path.name for path in (fresh.root / "models").iterdir() if path.name != ".gitignore"] == ["champion"]
    shutil.copytree(clone.root / IMAGES, tmp_path / "images")
    wanted = json.loads(clone.fakeprint("predict", str(tmp_path / "images"), "--json"))
    assert json.loads(fresh.fakeprint("predict", str(tmp_path / "images"), "--json")) == wanted
    assert len(wanted["images"]) == 10

    fresh.dvc("pull")
    assert ran(fresh.dvc("repro")) == []
    assert fresh.bytes("data/submission/submission.csv") == clone.bytes("data/submission/submission.csv")
