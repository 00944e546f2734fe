import numpy as np
import pytest
from scipy.stats import ttest_1samp

from fakeprint.verdict.calibration import Raw
from fakeprint.verdict.certificate import Certificate
from fakeprint.verdict.consistency import gain_at_equal_coverage
from fakeprint.verdict.decision import Decision
from tests.samples import predictions

DECISION = Decision(Raw(), Certificate(0.5, 10, 8, 1, 0.4, 0.4, 0.95), consistency=True)


def known(scores, correct):
    labels = np.where(correct, 0, 1)
    return predictions(labels, np.stack([scores, 1 - np.array(scores)], axis=1))


def test_by_hand():
    """Of five images the variants of two disagree, one of them wrong; of the three surest that one is wrong too."""
    images = known([0.95, 0.9, 0.85, 0.8, 0.75], np.array([True, False, True, True, True]))
    found = gain_at_equal_coverage(DECISION, images, np.array([True, False, True, True, False]), 0.95)
    assert (found.disagree, found.answered, found.error) == (pytest.approx(0.4), 3, 0)
    assert found.plain_error == found.gain == pytest.approx(1 / 3)
    assert set(found.as_json()) == {"disagree", "answered", "error", "plain_error", "gain", "low", "high"}


def test_the_interval_is_that_of_the_paired_differences():
    rng = np.random.default_rng(2)
    images = known(0.55 + 0.45 * rng.random(400), rng.random(400) < 0.85)
    consistent = images.correct | (rng.random(400) < 0.5)
    found = gain_at_equal_coverage(DECISION, images, consistent, 0.9)
    plain = np.zeros(400, dtype=bool)
    plain[np.argsort(-images.probabilities.max(axis=1))[: found.answered]] = True
    differences = (plain & ~images.correct).astype(float) - (consistent & ~images.correct)
    interval = ttest_1samp(differences, 0).confidence_interval(0.9)
    assert [found.low, found.high] == pytest.approx([each * 400 / found.answered for each in interval])
    assert 0 < found.low < found.gain < found.high


def test_variants_that_say_nothing_buy_nothing():
    rng = np.random.default_rng(3)
    images = known(0.55 + 0.45 * rng.random(2000), rng.random(2000) < 0.8)
    found = gain_at_equal_coverage(DECISION, images, rng.random(2000) < 0.7, 0.95)
    assert found.low < 0 < found.high
    everything = gain_at_equal_coverage(DECISION, images, np.ones(2000, dtype=bool), 0.95)
    assert (everything.gain, everything.low, everything.high) == (0, 0, 0)


def test_nothing_answered_and_a_single_group():
    images = known([0.9, 0.9], np.array([True, True]))
    assert gain_at_equal_coverage(DECISION, images, np.zeros(2, dtype=bool), 0.95) is None
    alone = gain_at_equal_coverage(DECISION, known([0.9], np.array([True])), np.array([True]), 0.95)
    assert alone.low is None and set(alone.as_json()) == {"disagree", "answered", "error", "plain_error", "gain"}
