"""`dvc exp run -S` writes params.yaml anew, by DVC's own dump: it changes the lines of its keys and no other."""

import difflib
import shutil
import sys
from pathlib import Path

import pytest
from dvc.utils import hydra
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.__main__ import main
from fakeprint.presets import overlaid
from tests.pipeline.clones import IDENTITY, Clone

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))
# Each alone, one after the other, on the file that the one before it left: what is removed, and what comes instead.
EDITS = [
    ("model.dropout=0.3", ["dropout: 0.2"], ["dropout: 0.3"]),
    ("model.dropout=0.35", ["dropout: 0.3"], ["dropout: 0.35"]),
    ("train.lr=5e-4", ["lr: 0.002"], ["lr: 0.0005"]),
    ("train.compile=true", ["compile: false"], ["compile: true"]),
    ("run.workers=4", ["workers:"], ["workers: 4"]),
    ("run.workers=null", ["workers: 4"], ["workers:"]),
    ("models.hist_cnn.dropout=0.5", ["dropout:"], ["dropout: 0.5"]),
    ("train.transforms.jpeg.quality=[40,90]", ["quality: [50, 96]"], ["quality: [40, 90]"]),
    ("+data.class_names={a: StyleGAN}", ["class_names: {}"], ["class_names:", "a: StyleGAN"]),
    ("run.networks=[hist_cnn]", ["- three_cnn"], []),
    ("run.networks=[hist_cnn,vit]", [], ["- vit"]),
    ("+models.hist_cnn.head=pool", [], ["head: pool"]),
    ("+models.vit.dropout=0.1", ["train: {}}"], ["train: {}, dropout: 0.1}"]),
    ("~robustness.grid.noise_2", ["noise_2: {noise: 2}"], []),
]


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def difference(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Lines that are removed, and lines that are added."""
    marked = list(difflib.ndiff(before, after))
    return [line[2:] for line in marked if line[0] == "-"], [line[2:] for line in marked if line[0] == "+"]


@pytest.mark.slow
def test_one_change_is_one_line(tmp_path: Path) -> None:
    """With its comment, which stays; and what our own readers and writers make of the file is the same."""
    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "presets/demo.yaml", file)
    for change, gone, come in EDITS:
        before = lines(file)
        hydra.apply_overrides(file, [change])
        removed, added = difference(before, lines(file))
        assert len(removed) == len(gone) and all(text in line for text, line in zip(gone, removed, strict=True)), change
        assert len(added) == len(come) and all(text in line for text, line in zip(come, added, strict=True)), change
        assert len(lines(file)) == len(before) + len(added) - len(removed)
        if removed and added:
            assert removed[0].partition("#")[2] == added[0].partition("#")[2]
    settings = params.load(file)
    assert (settings.model.dropout, settings.run.networks) == (0.35, ["hist_cnn", "vit"])
    yaml = YAML()  # as a script edits it
    content = yaml.load(file)
    content["run"]["features"] = ["hsv_hist", "hsv_joint", "residual", "spectrum"]
    content["classifiers"]["knn"].update(k=[5], metrics=["l1"])
    yaml.dump(content, file)
    again = params.load(file)
    assert again.run == settings.run
    assert again.classifiers["knn"].model_dump()["k"] == [5]
    assert again.train == settings.train


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_what_use_writes_is_what_dvc_writes(preset: Path, tmp_path: Path) -> None:
    """Of every preset: DVC changes one line, and all other values stay."""
    file = tmp_path / "params.yaml"
    file.write_text(overlaid(preset, None, []), encoding="utf-8")
    first, before = lines(file), params.load(file)
    assert max(map(len, first)) <= 140
    hydra.apply_overrides(file, ["seed=8"])
    assert [len(changed) for changed in difference(first, lines(file))] == [1, 1]
    assert params.load(file) == before.model_copy(update={"seed": 8})


@pytest.mark.slow
def test_dvc_exp_run_changes_one_line_twice_in_a_row(
    preloaded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself, in a repository of one stage; then `use` reads and replaces what it wrote, and keeps it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "presets", "presets")
    shutil.copy("presets/demo.yaml", "params.yaml")
    Path("dvc.yaml").write_text("stages: {only: {cmd: 'true', params: [model]}}\n")
    clone = Clone(tmp_path, preloaded)
    clone.run("git", "init", "-q")
    clone.dvc("init", "-q")
    clone.commit()
    for dropout in ("0.3", "0.45"):
        before = lines(Path("params.yaml"))
        clone.dvc("exp", "run", "-S", f"model.dropout={dropout}", **IDENTITY)
        removed, added = difference(before, lines(Path("params.yaml")))
        assert (len(removed), len(added)) == (1, 1)
        assert added[0].startswith(f"  dropout: {dropout} # 0–1; ")
    edited = Path("params.yaml").read_bytes()
    monkeypatch.setattr(sys, "argv", ["fakeprint", "use", "demo"])
    main()
    assert Path("params.yaml").read_bytes() == Path("presets/demo.yaml").read_bytes()
    assert Path("params.edited.yaml").read_bytes() == edited
