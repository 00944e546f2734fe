"""`dvc exp run -S …`: each parameter reruns what depends on it and nothing else, and every run is in MLflow."""

import json
import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from tests.pipeline.clones import IDENTITY, Clone, ran

pytestmark = pytest.mark.slow

ALWAYS = {"check"}
AFTER_NETWORKS = {
    *("predict@hist_cnn", "predict@three_cnn", "evaluate@hist_cnn", "evaluate@three_cnn"),
    *("ensemble@average", "evaluate_ensembles@average", "predict_degraded", "calibrate"),
    *("robustness", "compare", "decide", "submit", "track"),
}


def runs(clone: Clone) -> list[tuple[str, str]]:
    """(name, status) of every MLflow run."""
    with sqlite3.connect(clone.root / "mlflow.db") as database:
        return sorted(database.execute("select name, status from runs where lifecycle_stage = 'active'"))


def experiment(clone: Clone, *changes: str, extra: tuple[str, ...] = ()) -> set[str]:
    words = [word for change in changes for word in ("-S", change)]
    return set(ran(clone.dvc("exp", "run", *extra, *words, **IDENTITY)))


def test_dropout_retrains_the_networks_and_only_them(clone: Clone) -> None:
    before = runs(clone)
    assert [name for name, _ in before] == ["average", "hist_cnn", "knn", "lda", "three_cnn"]
    assert {status for _, status in before} == {"FINISHED"}
    stages = experiment(clone, "model.dropout=0.3", extra=("--name", "less-dropout"))
    assert {"train@hist_cnn", "train@three_cnn"} <= stages
    assert stages <= {"train@hist_cnn", "train@three_cnn"} | AFTER_NETWORKS | ALWAYS
    after = [name for name, _ in runs(clone)]
    assert after.count("hist_cnn") == 2
    assert after.count("three_cnn") == 2
    with sqlite3.connect(clone.root / "mlflow.db") as database:
        dropouts = {value for (value,) in database.execute("select value from params where key like '%dropout'")}
        names = {key for (key,) in database.execute("select key from tags")}
    assert {"0.2", "0.3"} <= dropouts
    assert "dvc.experiment.less-dropout" in names
    shown = clone.dvc("exp", "show", "--csv")
    assert "less-dropout" in shown


def test_test_time_augmentation_and_the_grid_retrain_nothing(clone: Clone) -> None:
    champion = clone.json("models/champion/champion.json")
    assert champion["predict"] == {"tta": "none", "shift": 2}
    clone.edit("params.yaml", {"robustness.grid": {"noise_2": {"noise": 2}, "jpeg_50": {"jpeg": 50}}})
    stages = experiment(clone, "predict.tta=flip", "robustness.models=[lda,average]")
    assert {"predict@hist_cnn", "predict@three_cnn", "ensemble@average", "predict_degraded", "decide"} <= stages
    assert not [name for name in stages if re.match(r"fit|train|features|predict_classifiers", name)]
    assert clone.json("models/champion/champion.json")["predict"] == {"tta": "flip", "shift": 2}
    table = clone.json("metrics/robustness.json")["models"]
    assert set(table) == {"lda", "average"}
    assert set(table["lda"]) == {"clean", "noise_2", "jpeg_50", "worst"}
    assert table["lda"]["clean"]["accuracy"] == clone.json("metrics/lda/evaluate.json")["accuracy"]
    assert "worst" in clone.json("metrics/leaderboard.json")["models"]["lda"]
    for model in ("hist_cnn", "champion"):  # by the path that serves files
        printed = clone.fakeprint("predict", "data/demo/images/test", "--model", model, "--json")
        name = json.loads(printed)["model"]
        predictions = pd.read_parquet(clone.root / f"data/calibrated/{name}.parquet").set_index("image_id")
        for answer in json.loads(printed)["images"]:
            row = predictions.loc[Path(answer["image"]).stem]
            assert all(abs(row[f"p_{key}"] - share) < 1e-6 for key, share in answer["probabilities"].items())


def test_misspelt_model_is_one_line_before_anything_runs(clone: Clone) -> None:
    printed = clone.dvc("exp", "run", "-S", "run.networks=[his_cnn]", check=False, **IDENTITY)
    assert "error: params.yaml: run.networks: 'his_cnn' is unknown; did you mean 'hist_cnn'?" in printed
    assert "Traceback" not in printed
    assert ran(printed) == ["check"]


def test_queue_with_two_workers_on_a_fresh_database(clone: Clone) -> None:
    for name in ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm"):
        (clone.root / name).unlink(missing_ok=True)
    for dropout in ("0.1", "0.2"):
        lists = ("features", "classifiers", "ensembles")
        narrow = ("run.networks=[hist_cnn]", "robustness.grid={}", *(f"run.{name}=[]" for name in lists))
        changes = [word for change in (*narrow, f"models.hist_cnn.dropout={dropout}") for word in ("-S", change)]
        clone.dvc("exp", "run", "--queue", *changes, **IDENTITY)
    # The workers inherit the output: with a pipe, the command would end with them.
    clone.run("sh", "-c", "exec python -m dvc queue start -j 2 > /dev/null 2>&1", **IDENTITY)
    for _ in range(60):
        status = clone.run("sh", "-c", "sleep 3; exec python -m dvc queue status", **IDENTITY).stdout
        if "Queued" not in status and "Running" not in status:
            break
    assert status.count("Success") == 2, status
    trained = [(name, state) for name, state in runs(clone) if name == "hist_cnn"]
    assert trained.count(("hist_cnn", "FINISHED")) >= 2
