"""Real against fake, from the predictions to what `evaluate` writes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from scipy.special import logit

from fakeprint.data.arrays import Dataset, save_dataset, save_index
from fakeprint.evaluation.detection import AT_VALIDATION_THRESHOLD, CROSS_FITTED
from fakeprint.evaluation.detection_report import detections
from fakeprint.evaluation.predictions import CALIBRATED, PREDICTIONS, save_predictions
from stages import evaluate
from tests.samples import DEMO, index_rows, predictions

CLASSES = ["fake", "real"]


def random_predictions(images, seed, labelled=True):
    """Half of the images are fake and have larger probabilities of it, around 0.2 instead of 0.5."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % 2
    fake = np.clip(rng.normal(0.15 + 0.1 * (labels == 0), 0.05), 0.001, 0.999)
    return predictions(labels if labelled else np.full(images, -1), np.stack([fake, 1 - fake], axis=1))


def test_the_threshold_of_validation_is_cross_fitted_there_and_applied_to_test():
    result = detections(
        {"validation": random_predictions(200, 0), "test": random_predictions(400, 1)}, [1], CLASSES, 7, 0.95
    )
    validation, test = result["validation"].figures, result["test"].figures
    assert validation["validation_threshold"] == test["validation_threshold"]
    assert 0.15 < test["validation_threshold"]["probability"] < 0.25
    assert validation["balanced_accuracy"] == test["balanced_accuracy"] == 0.5
    assert validation[CROSS_FITTED] > 0.75
    assert test[AT_VALIDATION_THRESHOLD] > 0.75
    assert CROSS_FITTED not in test
    assert AT_VALIDATION_THRESHOLD not in validation
    low, high = test["intervals"][AT_VALIDATION_THRESHOLD]
    assert low < test[AT_VALIDATION_THRESHOLD] < high
    json.dumps(validation, allow_nan=False)


def test_splits_that_cannot_tell_are_left_out():
    unlabelled = random_predictions(50, 1, labelled=False)
    assert set(detections({"validation": random_predictions(50, 0), "test": unlabelled}, [1], CLASSES, 7, 0.95)) == {
        "validation"
    }
    only_fake = predictions(np.zeros(5, dtype=np.int64), np.tile([0.6, 0.4], (5, 1)))
    result = detections({"validation": only_fake, "test": random_predictions(50, 0)}, [1], CLASSES, 7, 0.95)
    assert set(result) == {"test"}
    assert "validation_threshold" not in result["test"].figures
    assert detections({"validation": random_predictions(50, 0)}, [], CLASSES, 7, 0.95) == {}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace as `predict` leaves it, of classes fake and real; gives a function that sets data.real_classes."""

    def with_real_classes(real_classes):
        content = YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))
        content["data"] |= {"title": "hand-made", "real_classes": real_classes}
        content["tracking"]["enabled"] = False
        with Path("params.yaml").open("w") as file:
            YAML().dump(content, file)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", "lda"])
    save_dataset(Dataset(CLASSES, CLASSES, 16, "squash", 10_000))
    np.save("data/arrays/validation.npy", np.zeros((40, 16, 16, 3), dtype=np.uint8))
    save_index("validation", index_rows(np.arange(40) % 2, CLASSES), CLASSES)
    splits = {"validation": random_predictions(40, 0), "test": random_predictions(60, 1)}
    for folder in (PREDICTIONS, CALIBRATED):
        save_predictions("lda", CLASSES, splits, folder)
    return with_real_classes


@pytest.mark.slow
def test_evaluate_writes_figures_and_pictures_where_a_class_is_called_real(workspace):
    workspace(None)
    evaluate.main()
    figures = json.loads(Path("metrics/lda/evaluate.json").read_text())
    assert figures["detection"]["auc"] == pytest.approx(figures["roc_auc"])
    assert figures["test"]["detection"]["real_images"] == 30
    drawn = {file.stem for file in Path("reports/lda").iterdir()}
    assert {"roc", "det", "roc_test", "det_test"} < drawn


@pytest.mark.slow
def test_evaluate_writes_none_where_no_class_is_real(workspace):
    workspace([])
    evaluate.main()
    assert "detection" not in json.loads(Path("metrics/lda/evaluate.json").read_text())
    assert not list(Path("reports/lda").glob("roc*"))


def test_evaluate_names_a_real_class_that_is_not_there(workspace, capsys):
    workspace(["rael"])
    with pytest.raises(SystemExit):
        evaluate.main()
    line = "error: data.real_classes: the source has no class 'rael'; did you mean 'real'?\n"
    assert capsys.readouterr().err == line
    assert not Path("metrics").exists()


def test_a_sure_model_is_ranked_by_its_small_probabilities():
    """All probabilities of fake round to 1; what is left of real tells them apart."""
    labels = np.arange(60) % 2
    real = np.where(labels == 1, 1e-18, 1e-24) * np.exp(np.random.default_rng(0).normal(size=60))
    result = detections({"validation": predictions(labels, np.stack([1 - real, real], axis=1))}, [1], CLASSES, 7, 0.95)[
        "validation"
    ].figures
    assert (result["auc"], result[CROSS_FITTED], result["balanced_accuracy"]) == (1, 1, 0.5)
    assert result["validation_threshold"]["log_odds"] > logit(1 - 1e-15)
