import json

import numpy as np
import pytest
from rich.console import Console

from fakeprint.evaluation import leaderboard
from fakeprint.evaluation.intervals import wilson
from fakeprint.evaluation.robustness import Robustness, Worst
from tests.samples import predictions

LABELS = np.array([0, 1] * 10)


def model(wrong, sure=0.9):
    """A model that errs on the images named, with probability `sure` of what it says."""
    said = np.where(np.isin(np.arange(20), wrong), 1 - LABELS, LABELS)
    probabilities = np.full((20, 2), 1 - sure)
    probabilities[np.arange(20), said] = sure
    return predictions(LABELS, probabilities)


def test_sorted_by_accuracy_with_intervals_and_corrected_p_values():
    board = leaderboard.compare(
        {"poor": model(range(10)), "best": model([0]), "fair": model([0, 1, 2])}, ["real", "fake"], 0.95
    )
    best, fair, poor = board.standings
    assert [row.name for row in board.standings] == ["best", "fair", "poor"]
    assert (best.accuracy, fair.accuracy, poor.accuracy) == (0.95, 0.85, 0.5)
    assert (best.low, best.high) == wilson(19, 20)
    assert best.p_holm is None
    # best against fair: 2 to 0, p = ½; against poor: 9 to 0, p = 2 / 2⁹. Holm: the smaller twice, the larger once.
    assert fair.p_holm == pytest.approx(0.5)
    assert poor.p_holm == pytest.approx(2 * 2 / 2**9)
    assert best.recall == [0.9, 1.0]


def test_equal_accuracy_goes_by_log_loss_then_by_name():
    models = {"zeta": model([0]), "unsure": model([1], sure=0.6), "alpha": model([2])}
    board = leaderboard.compare(models, ["real", "fake"], 0.95)
    assert [row.name for row in board.standings] == ["alpha", "zeta", "unsure"]
    again = leaderboard.compare(dict(reversed(models.items())), ["real", "fake"], 0.95)
    assert [row.name for row in again.standings] == ["alpha", "zeta", "unsure"]


def test_json_is_nested_numbers():
    board = leaderboard.compare({"a": model([0]), "b": model([0, 1])}, ["real", "fake"], 0.95)
    content = json.loads(json.dumps(board.as_json(), allow_nan=False))
    assert content["champion"] == "a"
    assert content["images"] == 20
    assert set(content["models"]["b"]) == {"accuracy", "low", "high", "macro_f1", "log_loss", "p_holm"}
    assert "p_holm" not in content["models"]["a"]


ROBUSTNESS = Robustness(
    {
        "a": {"clean": {"accuracy": 0.95}, "jpeg_50": {"accuracy": 0.8}, "blur_1": {"accuracy": 0.7}},
        "b": {"clean": {"accuracy": 0.9}, "jpeg_50": {"accuracy": 0.6}, "blur_1": {"accuracy": 0.6}},
    },
    20,
)


def test_the_worst_degradation_stands_beside_the_clean_accuracy():
    models = {"a": model([0]), "b": model([0, 1]), "left_out": model([0, 1, 2])}
    board = leaderboard.compare(models, ["real", "fake"], 0.95, ROBUSTNESS)
    assert [row.worst for row in board.standings] == [Worst("blur_1", 0.7), Worst("jpeg_50", 0.6), None]
    assert board.as_json()["models"]["a"]["worst"] == {"cell": "blur_1", "accuracy": 0.7}
    assert "worst" not in board.as_json()["models"]["left_out"]
    text = board.as_markdown("demo")
    assert "| model | accuracy | 95 % interval | worst degraded | macro F1 | log loss | p (Holm) |" in text
    assert "| 70.00 % (blur_1) |" in text
    assert [row[3] for row in board.rows()] == ["70.00 % (blur_1)", "60.00 % (jpeg_50)", "–"]
    console = Console(width=80)
    with console.capture() as captured:
        console.print(board.as_table("demo"))
    assert "(blur_1)" in captured.get() and "…" not in captured.get()


def test_markdown_names_data_test_and_recall():
    text = leaderboard.compare({"a": model([0]), "b": model(range(15))}, ["real", "fa|ke"], 0.9).as_markdown("demo")
    assert text.startswith("# Leaderboard: demo\n")
    assert "| model | accuracy | 90 % interval | macro F1 | log loss | p (Holm) |" in text
    assert "| a | 95.00 % |" in text
    assert "| < 0.001 |" in text
    assert "| model | real | fa\\|ke |" in text
    assert "| a | 90.0 % | 100.0 % |" in text


def test_table_holds_every_model():
    board = leaderboard.compare({"a": model([0]), "b": model([0, 1])}, ["real", "fake"], 0.95)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(board.as_table("demo, simulated generators"))
    text = captured.get()
    assert "Leaderboard: demo, simulated generators" in text
    assert "95.00 %" in text
    assert "90.00 %" in text


def test_a_class_without_validation_images_shows_a_dash():
    board = leaderboard.compare({"a": model([0])}, ["real", "fake"], 0.95)
    assert board.recall_rows() == [["a", "90.0 %", "100.0 %"]]
    three = predictions(np.array([0]), np.array([[0.8, 0.1, 0.1]]))
    assert leaderboard.compare({"a": three}, ["p", "q", "r"], 0.95).recall_rows() == [["a", "100.0 %", "–", "–"]]
