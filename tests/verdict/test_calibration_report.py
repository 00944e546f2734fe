import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from fakeprint.evaluation import metrics
from fakeprint.verdict.calibration_report import calibration_scores, calibration_table, reliability_grid
from tests.samples import predictions


def sample(images=400, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([1, 1, 1], images)
    labels = (rng.random((images, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return predictions(labels, probabilities)


def test_figures_by_hand():
    """Two bins per class. Image 1: (0.8, 0.2) of class 0; image 2: (0.6, 0.4) of class 1."""
    made = predictions(np.array([0, 1]), np.array([[0.8, 0.2], [0.6, 0.4]]))
    figures = calibration_scores({"before": made}, 2, 0.95, 7)["before"].figures
    assert figures["ece"] == pytest.approx(0.2)  # both in the upper bin: mean confidence 0.7, half are right
    # class 0: both in the upper bin, mean 0.7, half are of it: 0.2; class 1: both in the lower, mean 0.3, half: 0.2
    assert figures["classwise_ece"] == pytest.approx(0.2)
    assert figures["brier"] == pytest.approx((0.04 + 0.04 + 0.36 + 0.36) / 2)
    assert figures["log_loss"] == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)


def test_figures_are_those_of_scikit_learn_and_of_the_evaluation():
    made = sample()
    figures = calibration_scores({"before": made}, 15, 0.95, 7)["before"].figures
    labels, probabilities = made.labels, made.probabilities
    assert figures["log_loss"] == pytest.approx(log_loss(labels, probabilities))
    assert figures["brier"] == pytest.approx(brier_score_loss(labels, probabilities, scale_by_half=False))
    bins = metrics.reliability(labels, probabilities, 15)
    assert figures["ece"] == pytest.approx(metrics.expected_calibration_error(bins))


def test_intervals_hold_the_figure_and_shrink_with_images():
    few, many = (calibration_scores({"x": sample(images)}, 10, 0.95, 7)["x"] for images in (100, 1600))
    for key, (low, high) in many.intervals.items():
        assert low < many.figures[key] < high
        assert high - low < few.intervals[key][1] - few.intervals[key][0]
    assert set(many.intervals) == {"ece", "classwise_ece", "brier", "log_loss"}


def test_groups_widen_the_intervals():
    """Each image four times: the figures stay, and the intervals are those of the quarter."""
    quarter = sample(100)
    rows = np.repeat(np.arange(100), 4)
    whole = predictions(quarter.labels[rows], quarter.probabilities[rows])
    whole.groups[:] = rows
    once, repeated = (calibration_scores({"x": each}, 10, 0.95, 7)["x"] for each in (quarter, whole))
    assert repeated.figures == pytest.approx(once.figures)
    for key, pair in once.intervals.items():
        assert repeated.intervals[key] == pytest.approx(pair, abs=1e-5)


def test_one_group_has_no_interval():
    made = sample(20)
    made.groups[:] = 0
    assert calibration_scores({"x": made}, 10, 0.95, 7)["x"].intervals == {}


@pytest.mark.slow
def test_intervals_of_brier_score_and_log_loss_cover_at_their_rate():
    """200 samples of one population; its own figures are known from many images."""
    population = calibration_scores({"x": sample(100_000, seed=9)}, 10, 0.5, 7)["x"].figures
    covered = {"brier": 0, "log_loss": 0}
    for seed in range(200):
        intervals = calibration_scores({"x": sample(300, seed=100 + seed)}, 10, 0.9, seed)["x"].intervals
        for key in covered:
            covered[key] += intervals[key][0] <= population[key] <= intervals[key][1]
    for hits in covered.values():
        assert 165 <= hits <= 194  # 0.9 of 200 within 3 standard deviations (4.2) and a little


def test_the_table_and_the_picture_have_a_row_and_a_panel_each():
    made = sample()
    scores = calibration_scores({"before": made, "after": made}, 10, 0.95, 7)
    figures = {"lda": {"clean": {name: each.as_json() for name, each in scores.items()}}}
    table = calibration_table(figures)
    assert table[["model", "images", "probabilities"]].values.tolist() == [
        ["lda", "clean", "before"],
        ["lda", "clean", "after"],
    ]
    assert table["ece_low"][0] < table["ece"][0] < table["ece_high"][0]
    reliability = metrics.reliability(made.labels, made.probabilities, 10)
    picture = reliability_grid({"lda": {"before": reliability}, "cnn": {"after": reliability}}, "Reliability")
    shown = [axes for axes in picture.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["lda", "cnn"]
    assert all(len(axes.lines) == 2 for axes in shown)  # the diagonal and one curve
    legend = [text.get_text() for text in picture.legends[0].get_texts()]
    assert sorted(legend) == ["after", "before"]
