import json
from dataclasses import replace

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
    predicted = np.where(np.isin(np.arange(20), wrong), 1 - LABELS, LABELS)
    probabilities = np.full((20, 2), 1 - sure)
    probabilities[np.arange(20), predicted] = sure
    return predictions(LABELS, probabilities)


def test_sorted_by_accuracy_with_intervals_and_corrected_p_values():
    board = leaderboard.compare(
        {"poor": model(range(10)), "best": model([0]), "fair": model([0, 1, 2])}, ["real", "fake"], 0.95
    )
    best, fair, poor = board.standings
    assert [row.name for row in board.standings] == ["best", "fair", "poor"]
    assert (best.accuracy, fair.accuracy, poor.accuracy) == (0.95, 0.85, 0.5)
    assert (best.low, best.high) == pytest.approx(wilson(19, 20), abs=1e-6)
    assert best.p_holm is None
    # best against fair: 2 to 0, p = ½; against poor: 9 to 0, p = 2 / 2⁹; fair against poor: 7 to 0, p = 2 / 2⁷, which
    # counts although the champion is not in it. Holm: the smallest three times, the next twice, the largest once.
    assert fair.p_holm == pytest.approx(0.5)
    assert poor.p_holm == pytest.approx(3 * 2 / 2**9)
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
    figures = {"accuracy", "low", "high", "macro_f1", "log_loss", "intervals"}
    assert set(content["models"]["b"]) == {*figures, "p_holm"}
    assert set(content["models"]["a"]) == figures
    low, high = content["models"]["b"]["intervals"]["macro_f1"]
    assert low < content["models"]["b"]["macro_f1"] < high
    assert content["compared_on"] == "validation"


ROBUSTNESS = Robustness(
    {
        "a": {"clean": {"accuracy": 0.95}, "jpeg_50": {"accuracy": 0.8}, "blur_1": {"accuracy": 0.7}},
        "b": {
            "clean": {"accuracy": 0.9},
            "jpeg_50": {"accuracy": 0.6, "intervals": {"accuracy": [0.57, 0.63]}},
            "blur_1": {"accuracy": 0.6},
        },
    },
    20,
)


def test_the_worst_degradation_stands_beside_the_clean_accuracy():
    models = {"a": model([0]), "b": model([0, 1]), "left_out": model([0, 1, 2])}
    board = leaderboard.compare(models, ["real", "fake"], 0.95, ROBUSTNESS)
    assert [row.worst for row in board.standings] == [Worst("blur_1", 0.7), Worst("jpeg_50", 0.6, (0.57, 0.63)), None]
    assert board.as_json()["models"]["a"]["worst"] == {"cell": "blur_1", "accuracy": 0.7}
    assert "worst" not in board.as_json()["models"]["left_out"]
    text = board.as_markdown("demo")
    assert "| model | accuracy | worst degraded | p (Holm) |" in text
    assert "| 70.00 %, blur_1 |" in text
    assert [row[2] for row in board.rows()] == ["70.00 %, blur_1", "60.00 % (57.0–63.0), jpeg_50", "–"]
    console = Console(width=80)
    with console.capture() as captured:
        console.print(board.as_table("demo"))
    assert "blur_1" in captured.get() and "…" not in captured.get()


def test_markdown_names_data_test_and_recall():
    text = leaderboard.compare({"a": model([0]), "b": model(range(15))}, ["real", "fa|ke"], 0.9).as_markdown("demo")
    assert text.startswith("# Leaderboard: demo\n")
    assert "| model | accuracy | p (Holm) |" in text
    assert "| a | 95.00 % ({:.1f}–{:.1f}) |".format(*(100 * bound for bound in wilson(19, 20, 0.9))) in text
    assert "| < 0.001 |" in text
    assert "| model | real | fa\\|ke |" in text
    assert "| a | 90.0 % (65–98) | 100.0 % (79–100) |" in text
    assert "Holm-corrected for the one pair of models, because the champion was selected on these images" in text


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
    assert board.recall_rows() == [["a", "90.0 % (60–98)", "100.0 % (72–100)"]]
    three = predictions(np.array([0]), np.array([[0.8, 0.1, 0.1]]))
    assert leaderboard.compare({"a": three}, ["p", "q", "r"], 0.95).recall_rows() == [
        ["a", "100.0 % (21–100)", "–", "–"]
    ]


def test_on_labelled_test_images_the_order_stays_and_the_tests_are_of_them():
    validation = {"a": model([0]), "b": model([0, 1]), "c": model(range(10))}
    test = {"a": model(range(3)), "b": model([]), "c": model([4])}
    board = leaderboard.compare(validation, ["real", "fake"], 0.95, test=test)
    assert [row.name for row in board.standings] == ["a", "b", "c"]  # by validation, though b is best on test
    assert [row.test.figures["accuracy"] for row in board.standings] == [0.85, 1.0, 0.95]
    # on test 3 to 0, p = ¼, and 3 to 1, p = 10 / 16; Holm for two comparisons.
    assert [row.p_holm for row in board.standings] == [None, pytest.approx(0.5), pytest.approx(0.625)]
    content = json.loads(json.dumps(board.as_json(), allow_nan=False))
    assert (content["champion"], content["compared_on"], content["test_images"]) == ("a", "test", 20)
    on_test = content["models"]["a"]["test"]
    assert (on_test["low"], on_test["high"]) == pytest.approx(wilson(17, 20), abs=1e-6)
    text = board.as_markdown("demo")
    assert "| model | accuracy | test accuracy | p (Holm) |" in text
    assert "| a | 95.00 % (76.4–99.1) | 85.00 % (64.0–94.8) |" in text
    low, high = on_test["intervals"]["log_loss"]
    assert "| model | macro F1 | log loss | test macro F1 | test log loss |" in text
    assert f" | {on_test['log_loss']:.4f} ({low:.3f}–{high:.3f}) |\n" in text
    assert "Nothing was chosen on test: its figures are reported once" in text
    assert "Holm-corrected for 2 comparisons" in text
    console = Console(width=80)
    with console.capture() as captured:
        console.print(board.as_table("demo"))
    assert "(64.0–94.8)" in captured.get() and "20 test images" in captured.get() and "…" not in captured.get()


def test_unlabelled_test_images_change_nothing_and_are_left_out_of_a_partly_labelled_split():
    validation = {"a": model([0]), "b": model([0, 1])}
    alone = leaderboard.compare(validation, ["real", "fake"], 0.95)
    unlabelled = {name: replace(each, labels=np.full(20, -1)) for name, each in validation.items()}
    assert leaderboard.compare(validation, ["real", "fake"], 0.95, test=unlabelled).as_json() == alone.as_json()
    known = np.where(np.arange(20) < 8, LABELS, -1)
    partly = {name: replace(each, labels=known) for name, each in validation.items()}
    board = leaderboard.compare(validation, ["real", "fake"], 0.95, test=partly)
    assert board.test_images == 8
    assert board.standings[1].test.figures["accuracy"] == 6 / 8


def test_images_of_one_group_count_as_one():
    twenty = np.arange(20)
    alone, frames = [], []
    for wrong in ([0], range(10)):
        each = model(wrong)
        alone.append(each)
        frames.append(replace(each, groups=twenty // 5))
    by_image = leaderboard.compare(dict(zip("ab", alone, strict=True)), ["real", "fake"], 0.95)
    by_group = leaderboard.compare(dict(zip("ab", frames, strict=True)), ["real", "fake"], 0.95)
    assert by_image.standings[1].p_holm == pytest.approx(2 / 2**9)
    assert by_group.standings[1].p_holm == pytest.approx(2 / 2**2)  # 4 and 5 images, of two groups
    assert by_group.champion.low < by_image.champion.low
    assert by_group.grouped and "sign-flip test where groups hold several images" in by_group.as_markdown("demo")
    assert not by_image.grouped and "sign-flip" not in by_image.as_markdown("demo")


def test_on_validation_it_says_whose_figures_were_chosen_there():
    models = {"a": model([0]), "b": model([0, 1, 2])}
    on_validation = leaderboard.compare(models, ["real", "fake"], 0.95).as_markdown("t")
    on_test = leaderboard.compare(models, ["real", "fake"], 0.95, test=models).as_markdown("t")
    assert "a network whose epoch, or a k-NN whose k, was chosen on them" in on_validation
    assert "k-NN" not in on_test


def test_where_classes_are_real_each_model_s_area_as_a_detector_stands_beside_the_others():
    models = {"a": model([0]), "b": model([0, 1, 2])}
    board = leaderboard.compare(models, ["real", "fake"], 0.95, real=[0])
    assert board.header() == ["model", "accuracy", "AUC real/fake", "p (Holm)"]
    # One real image of ten is taken for fake: 10 · 9 pairs of 100 are in order, 10 are tied.
    assert board.standings[0].area[0] == pytest.approx(0.95)
    assert board.rows()[0][-2].startswith("0.9500 (0.")
    content = json.loads(json.dumps(board.as_json(), allow_nan=False))["models"]["a"]["detection"]
    low, high = content["intervals"]["auc"]
    assert low < content["auc"] < high
    assert "AUC real/fake: area under the ROC curve of the validation images as real or fake." in board.as_markdown("t")
    on_test = leaderboard.compare(models, ["real", "fake"], 0.95, test={"a": model([1]), "b": model([0])}, real=[0])
    assert on_test.header()[-2] == "test AUC real/fake"
    assert "of the test images as real or fake" in on_test.as_markdown("t")
    same = replace(model([0]), probabilities=np.tile([0.6, 0.4], (20, 1)))  # one answer to every image
    constant = leaderboard.compare({"a": same}, ["real", "fake"], 0.95, real=[0])
    assert constant.rows()[0][-2] == "0.5000"
    assert constant.as_json()["models"]["a"]["detection"] == {"auc": 0.5, "intervals": {}}
    without = leaderboard.compare(models, ["real", "fake"], 0.95)
    assert "AUC real/fake" not in without.header()
    assert "detection" not in without.as_json()["models"]["a"]
