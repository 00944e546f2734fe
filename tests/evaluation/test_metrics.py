import numpy as np
import pytest
from sklearn import metrics as sk

from fakeprint.evaluation import metrics
from fakeprint.studies.figures import numbers
from fakeprint.tracking.evaluated import shown

# Six images of three classes; the last is a cat taken for a dog, the third a dog taken for a bird.
NAMES = ["cat", "dog", "bird"]
ACTUAL = np.array([0, 1, 1, 2, 2, 0])
PROBABILITIES = np.array(
    [
        [0.80, 0.10, 0.10],
        [0.20, 0.70, 0.10],
        [0.10, 0.30, 0.60],
        [0.00, 0.00, 1.00],
        [0.05, 0.05, 0.90],
        [0.40, 0.55, 0.05],
    ]
)
PREDICTED = PROBABILITIES.argmax(axis=1)


def random_case(seed=0, images=300, classes=5):
    rng = np.random.default_rng(seed)
    actual = rng.integers(0, classes, images)
    probabilities = rng.dirichlet(np.full(classes, 0.5), images)
    return actual, probabilities


def test_confusion_has_actual_classes_in_rows():
    assert metrics.confusion(ACTUAL, PREDICTED, 3).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 2]]


def test_row_shares_sum_to_one_and_are_nan_for_a_class_without_images():
    shares = metrics.row_shares(np.array([[3, 1], [0, 0]]))
    assert shares[0].tolist() == [0.75, 0.25]
    assert np.isnan(shares[1]).all()


def test_class_report_by_hand():
    report = metrics.class_report(ACTUAL, PREDICTED, NAMES)
    assert report.accuracy == pytest.approx(4 / 6)
    assert report.table["precision"].to_dict() == pytest.approx({"cat": 1, "dog": 1 / 2, "bird": 2 / 3})
    assert report.table["recall"].to_dict() == pytest.approx({"cat": 1 / 2, "dog": 1 / 2, "bird": 1})
    assert report.table["f1"].to_dict() == pytest.approx({"cat": 2 / 3, "dog": 1 / 2, "bird": 4 / 5})
    assert report.table["support"].to_dict() == {"cat": 2, "dog": 2, "bird": 2}
    assert report.macro["f1"] == pytest.approx((2 / 3 + 1 / 2 + 4 / 5) / 3)


def test_weighted_average_is_by_support():
    report = metrics.class_report(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ["a", "b"])
    assert report.weighted["recall"] == pytest.approx(3 / 4)
    assert report.macro["recall"] == pytest.approx((2 / 3 + 1) / 2)


def test_report_as_text_csv_and_json_say_the_same():
    report = metrics.class_report(ACTUAL, PREDICTED, NAMES)
    assert report.as_text() == (
        "                  precision     recall         f1    support\n"
        "cat                  1.0000     0.5000     0.6667          2\n"
        "dog                  0.5000     0.5000     0.5000          2\n"
        "bird                 0.6667     1.0000     0.8000          2\n"
        "\n"
        "macro average        0.7222     0.6667     0.6556          6\n"
        "weighted average     0.7222     0.6667     0.6556          6\n"
        "accuracy                                   0.6667          6\n"
    )
    csv = report.as_frame().to_csv().splitlines()
    assert csv[0] == "class,precision,recall,f1,support"
    assert csv[2] == "dog,0.5,0.5,0.5,2"
    content = report.as_json()
    assert content["classes"]["dog"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert content["macro average"]["support"] == 6
    assert content["accuracy"] == pytest.approx(4 / 6)


def test_a_class_absent_from_validation_has_no_recall_and_does_not_weigh_on_the_average():
    report = metrics.class_report(np.array([0, 0, 1]), np.array([0, 0, 1]), NAMES)
    assert report.macro == {"precision": 1, "recall": 1, "f1": 1}
    assert report.as_json()["classes"]["bird"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert "bird                      –          –          –          0" in report.as_text()


def test_a_class_absent_from_validation_keeps_its_place_in_the_figures():
    """So that `recall.#2` of a study is the recall of the third class."""
    probabilities = np.eye(4)[[0, 3, 3]]
    figures = metrics.figures(np.array([0, 3, 0]), probabilities, ["a", "b", "c", "d"], bins=10)
    assert figures["recall"] == {"a": 0.5, "b": None, "c": None, "d": 1.0}
    assert numbers(figures)["recall.#3"] == 1.0 and "recall.#1" not in numbers(figures)
    assert shown(figures)["recall/d"] == 1.0 and "recall/b" not in shown(figures)


def test_a_class_never_predicted_has_precision_zero():
    report = metrics.class_report(np.array([0, 1]), np.array([0, 0]), ["a", "b"])
    assert report.table.at["b", "precision"] == 0
    assert report.macro["precision"] == pytest.approx(0.25)


def test_figures_agree_with_scikit_learn():
    actual, probabilities = random_case()
    names = list("abcde")
    figures = metrics.figures(actual, probabilities, names, bins=10)
    predicted = probabilities.argmax(axis=1)
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(actual, predicted))
    assert figures["macro_f1"] == pytest.approx(sk.f1_score(actual, predicted, average="macro"))
    assert figures["log_loss"] == pytest.approx(sk.log_loss(actual, probabilities))
    assert figures["roc_auc"] == pytest.approx(sk.roc_auc_score(actual, probabilities, multi_class="ovr"))
    assert list(figures["recall"].values()) == pytest.approx(sk.recall_score(actual, predicted, average=None))


def test_figures_that_cannot_be_computed_are_left_out_or_null():
    figures = metrics.figures(np.array([1, 1]), np.array([[0.1, 0.9], [0.8, 0.2]]), ["real", "fake"], bins=5)
    assert "roc_auc" not in figures
    assert figures["recall"] == {"real": None, "fake": 0.5}
    assert figures["accuracy"] == 0.5


def test_log_loss_by_hand_and_clipped():
    assert metrics.log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]])) == pytest.approx(
        (np.log(2) + np.log(4)) / 2
    )
    assert metrics.log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(1e-15))


def test_calibration_error_by_hand():
    # Two bins: (0, ½] holds one image of confidence 0.5, right; (½, 1] holds 0.9 right, 0.7 wrong, 1.0 right.
    actual = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.5, 0.5], [0.9, 0.1], [0.3, 0.7], [0.0, 1.0]])
    bins = metrics.reliability(actual, probabilities, 2)
    assert bins["images"].tolist() == [1, 3]
    assert bins["confidence"].tolist() == pytest.approx([0.5, 2.6 / 3])
    assert bins["accuracy"].tolist() == pytest.approx([1.0, 2 / 3])
    assert metrics.expected_calibration_error(bins) == pytest.approx((0.5 + 3 * abs(2 / 3 - 2.6 / 3)) / 4)


def test_bins_are_closed_above():
    confidences = np.array([0.6, 0.2 + 0.4, 0.6000001, 1.0])  # 0.2 + 0.4 is 0.6000000000000001
    bins = metrics.reliability(np.zeros(4, int), np.stack([confidences, 1 - confidences], axis=1), 5)
    assert bins["images"].tolist() == [0, 0, 2, 1, 1]
    assert np.isnan(bins["accuracy"][0])


def test_a_perfect_and_sure_model_has_no_calibration_error():
    bins = metrics.reliability(np.array([0, 1]), np.eye(2), 15)
    assert metrics.expected_calibration_error(bins) == 0


def test_roc_auc_of_two_classes_is_the_binary_area():
    # Scores of fake: real images 0.1, 0.6; fake images 0.4, 0.9. Of the four pairs three are in order.
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]])
    assert metrics.roc_auc(np.array([0, 0, 1, 1]), probabilities) == pytest.approx(3 / 4)


def test_roc_auc_passes_over_a_class_without_images():
    actual, probabilities = random_case(classes=3)
    with_absent = np.column_stack([probabilities, np.zeros(len(actual))])
    assert metrics.roc_auc(actual, with_absent) == pytest.approx(metrics.roc_auc(actual, probabilities))
