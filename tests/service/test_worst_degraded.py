"""GET /models on degraded images: from the leaderboard beside the models folder, or from the model's card."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from fakeprint.service.app import models
from fakeprint.service.bot import texts
from tests.service.running import models_folder, running

__all__ = ["models_folder"]  # a fixture


@pytest.mark.slow
@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_worst_degradation_is_the_leaderboards(models_folder: Path, tmp_path: Path, split: str) -> None:
    """It was measured on validation, whatever split the accuracy is of."""
    trained, metrics = tmp_path / "models", tmp_path / "metrics"
    for name in ("lda", "three_cnn"):
        shutil.copytree(models_folder / name, trained / name)
    metrics.mkdir()
    worst = {"cell": "jpeg_50", "accuracy": 0.64, "low": 0.58, "high": 0.7}
    row, test = {"accuracy": 0.8, "low": 0.7, "high": 0.9}, {"accuracy": 0.75, "low": 0.6, "high": 0.85}
    row |= {"test": test} if split == "test" else {}
    images = {"images": 250} | ({"test_images": 90} if split == "test" else {})
    board = {
        "compared_on": split,
        **images,
        "confidence": 0.99,
        "models": {"lda": {**row, "worst": worst}, "three_cnn": row},
    }
    (metrics / "leaderboard.json").write_text(json.dumps(board), encoding="utf-8")
    with running(tmp_path / "service", trained, is_ready=False) as client:
        listed = client.get("/models").json()["models"]
    found = {model["name"]: model["worst_degraded"] for model in listed}
    known = {"degradation": "jpeg_50", "value": 0.64, "low": 0.58, "high": 0.7, "confidence": 0.99}
    assert found["lda"] == known | dict.fromkeys(("split", "images", "degradations"))
    assert found["three_cnn"] is None
    accuracies = {model["name"]: model["accuracy"] for model in listed}
    figures = test if split == "test" else row
    assert (
        accuracies["lda"]
        == accuracies["three_cnn"]
        == {
            "split": split,
            "value": figures["accuracy"],
            "low": figures["low"],
            "high": figures["high"],
            "confidence": 0.99,
            "images": 90 if split == "test" else 250,
        }
    )


def test_that_of_the_shipped_model_is_its_card_s_and_the_results_page_s(models_folder: Path, tmp_path: Path) -> None:
    table = Path(__file__).parents[2] / "docs" / "results" / "unibuc_best_robustness.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "trace_net" and row["cell"] != "clean"]
    worst = min(rows, key=lambda row: float(row["accuracy"]))
    with running(tmp_path / "service", models_folder, is_ready=False) as client:
        (unibuc,) = [model for model in client.get("/models").json()["models"] if model["name"] == "unibuc"]
    assert unibuc["worst_degraded"] == {
        "degradation": worst["cell"],
        "value": round(float(worst["accuracy"]), 4),
        "low": round(float(worst["accuracy_low"]), 4),
        "high": round(float(worst["accuracy_high"]), 4),
        "confidence": 0.95,
        "split": "validation",
        "images": 1250,
        "degradations": len(rows),
    }
    said = texts.re_encoded(unibuc)
    assert f"({worst['cell']}, the worst of {len(rows)} that were measured, on 1,250 images of validation)" in said
    value, low, high = (100 * float(worst[name]) for name in ("accuracy", "accuracy_low", "accuracy_high"))
    assert f"{value:.1f} % ({low:.1f} % to {high:.1f} %)" in said and "not known" not in said
    cell = worst["cell"].replace("_", "\\_")  # Markdown
    assert models.worst_in_words(unibuc["worst_degraded"]).startswith(
        f"{value:.1f} % ({low:.1f}–{high:.1f}), on 1,250 images of the split validation, degraded by {cell}, the worst"
    )
