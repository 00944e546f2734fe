"""`fakeprint study`: what the command line itself refuses, and an arm into params.yaml."""

import shutil
import sys
from pathlib import Path

import pytest

from fakeprint import params
from fakeprint.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that a study is checked against, without git."""
    for folder in ("presets", "data/demo", "studies"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("images"))
    shutil.copy2(ROOT / "dvc.yaml", tmp_path)
    shutil.copy2(ROOT / "presets/demo.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "study", *words])
    main()


@pytest.mark.slow
def test_apply_writes_the_arm_and_keeps_edits_beside(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = root / "params.yaml"
    file.write_text(file.read_text().replace("seed: 7", "seed: 8", 1))
    study(monkeypatch, "apply", "neighbours", "k=15, metrics=l1", "--dry-run")
    assert params.load(file).seed == 8
    study(monkeypatch, "apply", "neighbours", "k=15, metrics=l1")
    settings = params.load(file)
    assert (settings.classifiers["knn"].k, settings.classifiers["knn"].metrics) == ([15], ["l1"])
    assert settings.run.models == ["knn"]
    assert settings.seed == 7
    assert params.load(root / "params.edited.yaml").seed == 8
    assert "params.yaml had edits (seed), which are kept in params.edited.yaml" in capsys.readouterr().out
    study(monkeypatch, "apply", "neighbours", "k=5, metrics=l2")  # the combination that is the baseline
    assert params.load(file).classifiers["knn"].k == [5]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["apply", "neighbours", "k=15, metric=l1"],
            "studies/neighbours.yaml: 'k=15, metric=l1' is not an arm; did you mean",
        ),
        (["status", "neighbour"], "studies/neighbour.yaml does not exist; did you mean 'studies/neighbours.yaml'?"),
        (["rm", "neighbours"], "no study 'neighbours' has run here; known: none"),
        (["run", "neighbours", "--jobs", "0"], "--jobs should be at least 1, not 0"),
        (["run", "neighbours", "--hours", "0"], "--hours should be above 0, not 0"),
        (["run", "neighbours", "--runner", "direct"], "--out FOLDER and --runner direct belong together"),
        (["run", "neighbours", "--out", "x"], "--out FOLDER and --runner direct belong together"),
        (["take", "nowhere"], "nowhere: there are no results; give the folder that"),
    ],
)
def test_what_is_wrong_is_one_line(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as ended:
        study(monkeypatch, *words)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
