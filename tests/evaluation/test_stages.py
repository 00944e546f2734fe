"""The stages `evaluate` and `compare` on real files, with and without labels on the test images."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakeprint.data.arrays import Dataset, save_dataset, save_index
from fakeprint.evaluation.predictions import CALIBRATED, PREDICTIONS, save_predictions
from fakeprint.evaluation.robustness import FIGURES, Robustness
from fakeprint.files import read_json, write_json
from stages import compare, evaluate
from tests.pipeline.clones import Clone
from tests.samples import DEMO, index_rows, predictions

pytestmark = pytest.mark.slow

CLASSES = ["fake", "real"]
SIZES = {"validation": 40, "test": 60}
MODELS = {"lda": (4, 12), "knn": (8, 6)}  # how many images of validation and of test each gets wrong


def split(images, wrong):
    labels = np.arange(images) % 2
    probabilities = np.where(np.eye(2, dtype=bool)[labels], 0.8, 0.2)
    probabilities[:wrong] = probabilities[:wrong, ::-1]
    return predictions(labels, probabilities)


@pytest.fixture(params=["labelled", "unlabelled"])
def labelled(request, tmp_path, monkeypatch):
    """Whether the test images have labels; `calibrate`, `fit` and `robustness` have left their files."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO, "params.yaml")
    Clone(tmp_path).edit(
        "params.yaml",
        {"run.classifiers": list(MODELS), "run.networks": [], "run.ensembles": [], "tracking.enabled": False},
    )
    save_dataset(Dataset(CLASSES, ["Fake", "Real"], 8, "squash", 10**6))
    images = np.zeros((SIZES["validation"], 8, 8, 3), np.uint8)
    np.save("data/arrays/validation.npy", images)
    save_index("validation", index_rows(split(40, 0).labels, CLASSES), CLASSES)
    known = request.param == "labelled"
    for name, wrong in MODELS.items():
        of_splits = {part: split(SIZES[part], count) for part, count in zip(SIZES, wrong, strict=True)}
        if not known:
            of_splits["test"].labels[:] = -1
        for folder in (PREDICTIONS, CALIBRATED):
            save_predictions(name, CLASSES, of_splits, folder)
        write_json(f"models/{name}/model.json", {"kind": "classifier"})
    write_json(FIGURES, Robustness({}, 0).as_json())
    return known


def call(stage, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", [stage.__name__, *words])
    stage.main()


def test_evaluate_scores_test_where_it_is_labelled(labelled, monkeypatch):
    call(evaluate, monkeypatch, "lda")
    figures = read_json("metrics/lda/evaluate.json")
    assert figures["accuracy"] == 0.9
    assert figures["intervals"]["accuracy"][0] < 0.9 < figures["intervals"]["accuracy"][1]
    text = Path("metrics/lda/report.txt").read_text()
    assert text.startswith("validation images\n")
    assert "recall_low" in pd.read_csv("metrics/lda/report.csv").columns
    if labelled:
        assert figures["test"].keys() == figures.keys() - {"test"}
        assert (figures["test"]["accuracy"], figures["test"]["images"]) == (0.8, 60)
        low, high = figures["test"]["intervals"]["accuracy"]
        assert low < 0.8 < high
        assert f"0.8000 ({low:.4f}–{high:.4f})" in text.partition("\ntest images\n")[2]
    else:
        assert "test" not in figures and "test images" not in text


def test_compare_chooses_on_validation_and_reports_test(labelled, monkeypatch, capsys):
    call(compare, monkeypatch)
    board = read_json("metrics/leaderboard.json")
    assert board["champion"] == "lda"  # worse on test
    text = Path("metrics/leaderboard.md").read_text()
    if labelled:
        assert (board["compared_on"], board["test_images"]) == ("test", 60)
        assert {name: row["test"]["accuracy"] for name, row in board["models"].items()} == {"lda": 0.8, "knn": 0.9}
        assert board["models"]["knn"]["p_holm"] == pytest.approx(2 / 2**6)  # 6 to 0 on test
        assert "test accuracy" in text and "reported once" in text
        assert "60 test images" in capsys.readouterr().out
    else:
        assert board["compared_on"] == "validation"
        assert board["models"]["knn"]["p_holm"] == pytest.approx(2 / 2**4)  # 4 to 0 on validation
        assert "test accuracy" not in text and "test_images" not in board
