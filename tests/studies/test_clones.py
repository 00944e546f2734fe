"""Clones in which cells run: what of dvc.lock a cell gets."""

import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from fakeprint.studies.results import Cell
from fakeprint.studies.runners import Job, clones
from tests.pipeline.clones import ROOT

SAFE = YAML(typ="safe")


def read(file: Path) -> dict[str, object]:
    return dict(SAFE.load(file.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_stage_names_are_those_of_dvc() -> None:
    names = clones.stage_names(read(ROOT / "dvc.yaml")["stages"], read(ROOT / "params.yaml"))
    with Repo(str(ROOT)) as repo:
        assert names == {stage.name for stage in repo.index.stages if stage.path == str(ROOT / "dvc.yaml")}


def test_a_cell_locks_its_own_stages_alone(tmp_path: Path) -> None:
    described = {"prepare": {"cmd": "a"}, "fit": {"foreach": "${run.classifiers}", "do": {"cmd": "b ${item}"}}}
    locked = {name: {"cmd": name, "params": {"params.yaml": {"seed": 7}}} for name in ("prepare", "fit@lda", "fit@knn")}
    for name, content in (("dvc.yaml", {"stages": described}), ("dvc.lock", {"schema": "2.0", "stages": locked})):
        with (tmp_path / name).open("w") as file:
            SAFE.dump(content, file)
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)

    for model in ("knn", "lda"):  # the second one from HEAD again, not from what the first one left
        text = f"run: {{classifiers: [{model}]}}\n"
        clones.write_cell(tmp_path, Job(Cell("arm", 1, "key"), "name", text))
        assert (tmp_path / "params.yaml").read_text() == text
        kept = {name: locked[name] for name in ("prepare", f"fit@{model}")}
        assert read(tmp_path / "dvc.lock") == {"schema": "2.0", "stages": kept}
