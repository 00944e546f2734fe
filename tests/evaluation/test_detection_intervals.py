import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from scipy.stats import t as student

from fakeprint.evaluation import detection, detection_intervals
from fakeprint.evaluation.detection_intervals import area_with_interval, intervals, resamples
from fakeprint.evaluation.intervals import wilson
from tests.evaluation.test_detection import drawn, images


def test_resamples_keep_groups_whole_and_the_numbers_of_real_and_of_fake_groups():
    groups = np.repeat([0, 1, 2, 3, 4], [1, 2, 3, 1, 2])
    detector = images(np.repeat([0, 0, 1, 1, 1], [1, 2, 3, 1, 2]), np.linspace(0, 1, 9), groups=groups)
    weights = np.concatenate(list(resamples(detector, 7)), axis=1)
    assert weights.shape == (9, detection_intervals.RESAMPLES)
    first = np.searchsorted(groups, np.arange(5))
    assert (weights == weights[first][groups]).all()
    assert (weights[first][:2].sum(axis=0) == 2).all()
    assert (weights[first][2:].sum(axis=0) == 3).all()
    assert weights[first].mean(axis=1) == pytest.approx(1, abs=0.1)
    again = np.concatenate(list(resamples(detector, 7)), axis=1)
    assert (weights == again).all()


def test_the_blocks_in_which_resamples_are_drawn_are_all_used(monkeypatch):
    detector = drawn(30, 30, 1.0, np.random.default_rng(0))
    monkeypatch.setattr(detection_intervals, "CHUNK_WEIGHTS", 60 * 300)
    sizes = [block.shape[1] for block in resamples(detector, 7)]
    assert sizes == [300] * 6 + [200]


@pytest.mark.slow
def test_intervals_hold_their_level(monkeypatch):
    """100 samples of Gaussian scores in groups of three that resemble each other; 95 % intervals, seeds fixed."""
    monkeypatch.setattr(detection_intervals, "RESAMPLES", 300)
    truth = {"auc": norm.cdf(1.5 / np.sqrt(2)), "eer": norm.cdf(-0.75), "balanced_accuracy": norm.cdf(0.75)}
    held = dict.fromkeys(truth, 0)
    rng = np.random.default_rng(0)
    is_fake, groups = np.repeat([False, True], 90), np.arange(180) // 3
    for sample in range(100):
        values = np.sqrt(0.5) * (rng.normal(size=60)[groups] + rng.normal(size=180)) + 1.5 * (is_fake - 0.5)
        result = intervals(images(is_fake, norm.cdf(values), groups=groups), None, sample, 0.95)
        for key, value in truth.items():
            held[key] += result[key][0] <= value <= result[key][1]
    assert all(90 <= count <= 99 for count in held.values()), held


def test_images_of_one_group_make_an_interval_wide():
    detector = drawn(60, 60, 1.0, np.random.default_rng(2))
    repeated = images(
        np.repeat(detector.fake, 4), np.repeat(expit(detector.log_odds), 4), groups=np.repeat(np.arange(120), 4)
    )
    alone, whole = (intervals(of, None, 7, 0.95)["auc"] for of in (detector, repeated))
    assert whole == pytest.approx(alone, abs=0.02)
    pretended = intervals(images(repeated.fake, expit(repeated.log_odds)), None, 7, 0.95)["auc"]
    assert pretended[1] - pretended[0] < 0.6 * (whole[1] - whole[0])


def test_every_figure_has_an_interval_around_it():
    rng = np.random.default_rng(3)
    detector = drawn(120, 90, 1.0, rng, generators=[None] * 120 + ["a"] * 60 + ["b"] * 30)
    decisions = detection.decisions_on_validation(detector, 7)
    result, figures = intervals(detector, decisions, 7, 0.95), detection.figures(detector, decisions)

    def compare(result, figures):
        for key, value in figures.items():
            if key == "validation_threshold":
                continue
            if isinstance(value, dict):
                compare(result[key], value)
            elif key not in ("real_images", "fake_images"):
                assert result[key][0] < value < result[key][1]

    compare(result, figures)
    assert set(result["generators"]) == {"a", "b"}
    narrow = intervals(detector, decisions, 7, 0.5)["auc"]
    assert result["auc"][0] < narrow[0] < narrow[1] < result["auc"][1]


def test_a_figure_that_does_not_scatter_has_wilsons_interval():
    result = intervals(images([0] * 40 + [1] * 60, [0.2] * 40 + [0.8] * 60), None, 7, 0.95)
    assert result["recall_of_real"] == result["auc"] == pytest.approx(wilson(40, 40), abs=1e-6)
    assert result["recall_of_fake"] == pytest.approx(wilson(60, 60), abs=1e-6)
    assert result["eer"] == pytest.approx(wilson(0, 40), abs=1e-6)
    assert result["recall_of_fake"][0] < result["balanced_accuracy"][0] < 1 == result["balanced_accuracy"][1]
    grouped = images([0] * 40 + [1] * 60, [0.2] * 40 + [0.8] * 60, groups=np.arange(100) // 4)
    assert intervals(grouped, None, 7, 0.95)["recall_of_real"] == pytest.approx(wilson(10, 10), abs=1e-6)


def test_less_than_one_real_image_has_no_interval():
    few = intervals(drawn(99, 99, 1.0, np.random.default_rng(0)), None, 7, 0.95)
    assert "tpr_at_5_percent_fpr" in few
    assert "tpr_at_1_percent_fpr" not in few


def test_what_shows_no_scatter_has_no_interval():
    """A constant answer, and images that are one group: neither gives an interval, and none without any width."""
    constant = images([0] * 20 + [1] * 20, [0.3] * 40)
    assert area_with_interval(constant, 7, 0.95) == (0.5, None)
    assert "auc" not in intervals(constant, None, 7, 0.95)
    rng = np.random.default_rng(0)
    one_of_each = drawn(20, 20, 1.0, rng, groups=np.repeat([0, 1], 20))
    assert intervals(one_of_each, None, 7, 0.95) == {}
    real_of_one = drawn(20, 20, 1.0, rng, groups=np.repeat(np.arange(21), [20] + [1] * 20))
    result = intervals(real_of_one, None, 7, 0.95)
    assert set(result) == {"recall_of_fake"}  # all else rests on the one group of real images, too
    share = detection.figures(real_of_one, None)["recall_of_fake"]
    assert result["recall_of_fake"] == pytest.approx(wilson(round(20 * share), 20), abs=0.06)


def test_few_groups_scatter_more_than_their_resamples():
    # Four groups of real images, half of which are all wrong: standard error sqrt(0.25 / 3), not sqrt(0.25 / 4).
    detector = images([0] * 16 + [1] * 16, np.repeat([0.9, 0.1], 8).tolist() + [0.9] * 16, groups=np.arange(32) // 4)
    low, high = intervals(detector, None, 7, 0.95)["recall_of_real"]
    reach = student.ppf(0.975, 3) * np.sqrt(0.25 / 3) / 0.25
    assert (low, high) == pytest.approx((expit(-reach), expit(reach)), abs=0.003)


@pytest.mark.parametrize("shift", [1.0, 20.0])
def test_the_area_alone_is_that_of_all_figures(shift):
    detector = drawn(40, 50, shift, np.random.default_rng(0), groups=np.arange(90) // 2)
    area, bounds = area_with_interval(detector, 7, 0.9)
    assert area == pytest.approx(detection.figures(detector, None)["auc"])
    assert bounds == pytest.approx(intervals(detector, None, 7, 0.9)["auc"])
