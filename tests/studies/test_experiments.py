"""Cells' results from the git trees of experiments: what is read, and by how many processes of git."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fakeprint.errors import InputError
from fakeprint.studies.experiments import Experiment, result
from fakeprint.studies.results import Cell
from tests.pipeline.clones import IDENTITY

MODELS = ["knn", "three_cnn"]
FIGURES = {"accuracy": 0.5, "recall": {"a": 0.25}}
HISTORY = "epoch,train_loss\n1,0.5\n\n2,0.25\n"  # an empty line, as in the separators of git's output


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the files of one cell, its predictions in DVC's cache."""
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    for model in MODELS:
        folder = tmp_path / "metrics" / model
        folder.mkdir(parents=True)
        (folder / "evaluate.json").write_text(json.dumps(FIGURES))
    (tmp_path / "metrics/three_cnn/history.csv").write_text(HISTORY)
    degraded = {"clean": {"accuracy": 0.5}, "noise": {"accuracy": 0.25}}
    (tmp_path / "metrics/robustness.json").write_text(json.dumps({"models": dict.fromkeys(MODELS, degraded)}))
    rows = {"image_id": ["x"], "split": "validation", "label": "a", "generator": None, "group": 1, "p_a": 0.9}
    pd.DataFrame({**rows, "p_b": 0.1}).to_parquet(tmp_path / "knn.parquet")
    content = (tmp_path / "knn.parquet").read_bytes()
    listed = [{"md5": cached(tmp_path, content), "relpath": "knn.parquet"}]
    folder_digest = cached(tmp_path, json.dumps(listed).encode(), ".dir")
    (tmp_path / "dvc.lock").write_text(
        f"stages:\n  calibrate:\n    outs:\n    - {{path: data/calibrated, md5: {folder_digest}}}\n"
    )
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "metrics", "dvc.lock")
    git(tmp_path, "commit", "-qm", "a cell")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def cached(root: Path, content: bytes, ending: str = "") -> str:
    digest = hashlib.md5(content).hexdigest() + ending
    file = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return digest


def experiment(root: Path) -> Experiment:
    return Experiment("refs/exps/…", git(root, "rev-parse", "HEAD").strip(), "study-arm-1-key", "key")


def test_figures_curves_and_predictions(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    this, started, run = experiment(root), [], subprocess.run

    def counted(words: list[str], *rest: Any, **more: Any) -> Any:
        started.append(words)
        return run(words, *rest, **more)

    monkeypatch.setattr(subprocess, "run", counted)
    found = result(root, this, Cell("arm", 1, "key"), MODELS, 3.0)
    assert len(started) == 1
    assert found is not None and found.predictions is not None
    assert found.figures == {model: {"accuracy": 0.5, "recall.a": 0.25, "recall.#0": 0.25} for model in MODELS}
    assert found.degraded == {model: {"noise": 0.25} for model in MODELS}
    assert found.curves.keys() == {"three_cnn"}
    assert found.curves["three_cnn"]["train_loss"].tolist() == [0.5, 0.25]
    for _ in range(3):
        assert list(found.predictions("knn").image_ids) == ["x"]
    assert len(started) == 2  # dvc.lock is read once
    with pytest.raises(InputError, match=r"^study-arm-1-key: the predictions of three_cnn are not in DVC's cache; "):
        found.predictions("three_cnn")


def test_a_cell_without_some_figures_has_no_result(root: Path) -> None:
    (root / "metrics/three_cnn/evaluate.json").unlink()
    git(root, "add", "-u")
    git(root, "commit", "-qm", "less")
    assert result(root, experiment(root), Cell("arm", 1, "key"), MODELS, 3.0) is None
    assert result(root, experiment(root), Cell("arm", 1, "key"), ["knn"], 3.0) is not None


def test_predictions_may_be_fetched_later(root: Path) -> None:
    cache, away = root / ".dvc/cache", root / "away"
    cache.rename(away)
    found = result(root, experiment(root), Cell("arm", 1, "key"), ["knn"], None)
    assert found is not None and found.predictions is not None
    with pytest.raises(InputError, match="fetch them with `dvc exp pull`"):
        found.predictions("knn")
    away.rename(cache)
    assert len(found.predictions("knn").image_ids) == 1
