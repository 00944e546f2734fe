"""`dvc plots show` draws all models in one ROC, one reliability plot and one grid of confusion matrices."""

import json
from pathlib import Path

import pytest

from tests.pipeline.clones import Clone

pytestmark = pytest.mark.slow

MODELS = {"knn", "lda", "hist_cnn", "three_cnn", "average"}


def test_all_models_are_in_one_plot_each(reproduced: Clone, tmp_path: Path) -> None:
    page = tmp_path / "page"
    files = ("metrics/roc.csv", "metrics/reliability.csv", "metrics/confusion.csv")
    shown = json.loads(reproduced.dvc("plots", "show", "--json", "-o", str(page)))["data"]
    specs = {file: shown[file][0]["content"] for file in files}
    rows = {file: spec["data"]["values"] for file, spec in specs.items()}
    assert all({row["model"] for row in of_file} == MODELS for of_file in rows.values())

    roc = [spec["layer"][1]["encoding"] for spec in (specs["metrics/roc.csv"], specs["metrics/reliability.csv"])]
    assert all(encoding["color"]["field"] == "model" for encoding in roc)
    assert "false_positive_rate" in specs["metrics/roc.csv"]["transform"][0]["calculate"]
    assert specs["metrics/confusion.csv"]["spec"]["encoding"]["y"]["field"] == "actual"
    counts = dict.fromkeys(MODELS, 0)
    for row in rows["metrics/confusion.csv"]:
        counts[row["model"]] += int(row["images"])
    assert set(counts.values()) == {25}  # the validation images
    assert "<DVC_METRIC" not in json.dumps(specs)
