import numpy as np
import pandas as pd
import pytest

from fakeprint.evaluation.intervals import proportion, wilson
from fakeprint.verdict.selective import POINTS, area, risk_coverage, selected, share


def test_a_curve_by_hand():
    """Images of one score are answered together."""
    scores, correct = np.array([0.9, 0.6, 0.8, 0.8, 0.5]), np.array([True, False, True, False, True])
    wanted = {"score": [0.9, 0.8, 0.6, 0.5], "coverage": [0.2, 0.6, 0.8, 1.0], "risk": [0.0, 1 / 3, 0.5, 0.4]}
    pd.testing.assert_frame_equal(risk_coverage(scores, correct), pd.DataFrame(wanted), atol=1e-6)
    assert area(scores, correct) == pytest.approx((0 + 1 / 3 + 1 / 3 + 0.5 + 0.4) / 5)


def test_the_area_is_between_what_a_perfect_and_a_reversed_order_give():
    correct = np.array([True, True, True, False])
    assert area(np.array([4, 3, 2, 1.0]), correct) == pytest.approx(0.25 / 4)
    assert area(np.array([1, 2, 3, 4.0]), correct) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert area(np.zeros(4), correct) == 0.25  # scores that say nothing: the error rate
    assert area(np.arange(4.0), np.ones(4, dtype=bool)) == 0


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    rng = np.random.default_rng(0)
    scores, correct = rng.random(5000), rng.random(5000) < 0.8
    curve = risk_coverage(scores, correct)
    assert len(curve) <= POINTS + 1
    assert curve["score"].iloc[0] == pytest.approx(scores.max(), abs=1e-6)
    assert curve[["coverage", "risk"]].iloc[-1].tolist() == [1.0, pytest.approx(1 - correct.mean())]
    whole = risk_coverage(scores[:150], correct[:150])
    assert len(whole) == 150


def test_what_is_answered_by_class():
    labels = np.array([0, 0, 0, 1, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9], [0.6, 0.4], [0.2, 0.8]])
    found = selected(probabilities, labels, probabilities.max(axis=1) >= 0.7, np.arange(6), 0.95)
    assert (found.coverage.share, found.coverage.images) == (pytest.approx(5 / 6), 6)
    assert found.coverage.interval == pytest.approx(wilson(5, 6))
    assert (found.error.share, found.error.images) == (0.2, 5)
    assert [each.share for each in found.class_coverage] == [1.0, pytest.approx(2 / 3)]
    assert [each.share for each in found.class_error] == [pytest.approx(1 / 3), 0.0]
    assert [each.share for each in found.named_error] == [0.0, pytest.approx(1 / 3)]  # the third is named 1 and is 0


def test_a_class_without_answers_has_no_error():
    found = selected(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), np.array([True, False]), np.arange(2), 0.9)
    assert found.class_error[1].share is None
    content = found.as_json(["a", "b"])
    assert content["classes"]["b"]["error"] == {"images": 0}
    wanted = {"share": 0.0, "low": 0.0, "high": pytest.approx(wilson(0, 1, 0.9)[1], abs=1e-6), "images": 1}
    assert content["classes"]["a"]["error"] == wanted


def test_intervals_are_of_groups():
    """Twenty images in four groups, wrong together, tell about as much as four."""
    groups = np.repeat(np.arange(4), 5)
    chosen = groups == 0
    found = share(chosen, np.ones(20, dtype=bool), groups, 0.95)
    assert found.interval == proportion(np.array([5.0, 0, 0, 0]), np.full(4, 5.0), 0.95)
    assert found.interval[1] > wilson(5, 20)[1]
