"""What is read of a finished cell's files."""

import json
from typing import Any

from fakeprint.studies.figures import ROBUSTNESS, evaluate_file, result_of
from fakeprint.studies.results import Cell

CELL = Cell("arm", 1, "key")
WORST = {"cell": "noise_2", "accuracy": 0.5, "low": 0.4, "high": 0.6}
DEGRADED = {"clean": {"accuracy": 0.8}, "noise_2": {"accuracy": 0.5}, "jpeg_50": {"accuracy": 0.6}, "worst": WORST}


def read(**files: Any) -> Any:
    content = {
        evaluate_file("lda"): {"accuracy": 0.8, "intervals": {"accuracy": [0.7, 0.9]}, "detection": {"auc": 0.9}},
        ROBUSTNESS: {"models": {"lda": DEGRADED}},
        **files,
    }
    return lambda path: json.dumps(content[path]).encode() if content.get(path) is not None else None


def test_degradations_are_neither_the_clean_images_nor_the_worst_once_more() -> None:
    result = result_of(CELL, ["lda"], read(), None, 3.0)
    assert result
    assert result.degraded == {"lda": {"noise_2": 0.5, "jpeg_50": 0.6}}
    assert result.figures == {"lda": {"accuracy": 0.8, "detection.auc": 0.9}}


def test_figures_of_a_class_have_its_number_too() -> None:
    recall = {"real": 0.5, "dalle": None, "#0": 0.75}  # a class without images, and one that is named like a number
    figures = {"accuracy": 0.8, "recall": recall, "detection": {"recall": {"fake": 0.25}, "auc": 0.9}}
    result = result_of(CELL, ["lda"], read(**{evaluate_file("lda"): figures}), None, None)
    assert result
    assert result.figures["lda"] == {
        **{"accuracy": 0.8, "recall.real": 0.5, "recall.#0": 0.75, "recall.#2": 0.75},
        **{"detection.recall.fake": 0.25, "detection.auc": 0.9},
    }


def test_degraded_images_may_be_scored_with_some_models_only() -> None:
    accuracy = {evaluate_file("knn"): {"accuracy": 0.7}}
    result = result_of(CELL, ["lda", "knn"], read(**accuracy), None, None)
    assert result
    assert result.degraded == {"lda": {"noise_2": 0.5, "jpeg_50": 0.6}}
    assert result.figures["knn"] == {"accuracy": 0.7}


def test_without_all_figures_there_is_no_result() -> None:
    for missing in ({ROBUSTNESS: None}, {ROBUSTNESS: {"models": {}}}, {evaluate_file("lda"): {}}):
        assert result_of(CELL, ["lda"], read(**missing), None, None) is None
