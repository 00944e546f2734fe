"""Certificates and conformal sets keep their levels over many draws of validation images; a naive scan does not."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from fakeprint import params
from fakeprint.verdict import calibration, conformal
from fakeprint.verdict.certificate import THRESHOLDS, certify, counts, upper_bound

pytestmark = pytest.mark.slow

MAX_ERROR, CONFIDENCE, DRAWS = 0.05, 0.9, 400
MOST = binom.ppf(0.999, DRAWS, 1 - CONFIDENCE) / DRAWS  # of violations, by chance at the nominal level

Scores = Callable[[np.random.Generator, int], np.ndarray]
Risk = Callable[[np.ndarray], np.ndarray]


def error_rates(scores: Scores, risk: Risk) -> np.ndarray:
    """The true error rate of the answers at each threshold, (T,), from so many images that it is exact to 0.0003."""
    drawn = scores(np.random.default_rng(10**6), 10**6)
    reached = np.searchsorted(THRESHOLDS[::-1], drawn, side="right")
    images, wrong = (
        np.bincount(reached, weights, minlength=len(THRESHOLDS) + 1)[:0:-1].cumsum() for weights in (None, risk(drawn))
    )
    return wrong / np.maximum(images, 1)


def violations(scores: Scores, risk: Risk, images: int) -> tuple[float, float, float]:
    """Shares of draws: thresholds certified that break their promise, by `certify` and by a scan; certified at all."""
    rates = error_rates(scores, risk)
    place = {threshold: row for row, threshold in enumerate(THRESHOLDS)}
    broken = scanned = found = 0
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        score = scores(rng, images)
        correct = rng.random(images) >= risk(score)
        certificate = certify(score, correct, np.arange(images), MAX_ERROR, CONFIDENCE, seed=draw)
        if certificate.threshold is not None:
            found += 1
            broken += rates[place[certificate.threshold]] > MAX_ERROR
        answered, errors = counts(score, correct)
        passed = np.flatnonzero(upper_bound(errors, answered, CONFIDENCE) <= MAX_ERROR)
        scanned += bool(len(passed)) and rates[passed[-1]] > MAX_ERROR
    return broken / DRAWS, scanned / DRAWS, found / DRAWS


def evenly(rng: np.random.Generator, images: int) -> np.ndarray:
    return rng.random(images)


def mostly_sure(rng: np.random.Generator, images: int) -> np.ndarray:
    return 1 - 0.5 * rng.random(images) ** 2


def test_the_hardest_case_keeps_the_level_and_a_scan_of_all_thresholds_does_not():
    """All thresholds answer slightly too many wrong: each one certified breaks its promise, and a scan finds many."""
    broken, scanned, _ = violations(evenly, lambda score: np.full(len(score), 1.02 * MAX_ERROR), 400)
    assert broken <= MOST < scanned


@pytest.mark.parametrize(
    ("scores", "risk"),
    [
        (mostly_sure, lambda score: 1 - score),  # calibrated
        (mostly_sure, lambda score: 0.7 * (1 - score)),  # underconfident
        (evenly, lambda score: np.where(score > 0.7, 0.0, 0.12)),  # a step, where the start is often below it
        (evenly, lambda score: np.where(score > 0.45, 0.03, 0.5)),
    ],
)
def test_where_surer_answers_are_better_the_level_is_kept(scores, risk):
    broken, _, found = violations(scores, risk, 600)
    assert broken <= MOST
    assert found > 0.2


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_where_the_surest_answers_are_the_worst_few_are_certified(share):
    """Not covered by the argument for the start, which the number of images chooses; here it errs on the safe side."""
    broken, _, _ = violations(evenly, lambda score: np.where(score > 1 - share, 0.3, 0.03), 600)
    assert broken <= MOST


CLASSES, SHARES = 3, np.array([0.5, 0.3, 0.2])


def overconfident(rng: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are too extreme by a temperature of 2."""
    labels = rng.choice(CLASSES, images, p=SHARES)
    logits = rng.normal(size=(images, CLASSES)) + 3 * np.eye(CLASSES)[labels]
    # The log-odds of unit normals at distance 3, and of the classes' shares, are these; ×2 makes them overconfident.
    logits = 2 * (3 * logits + np.log(SHARES))
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def test_the_whole_chain_keeps_the_level():
    """Certified on cross-fitted probabilities of validation, deployed with the calibration fitted on all of it."""
    settings, draws, images, broken, found = params.Calibrate(method="temperature", folds=5), 200, 500, 0, 0
    new_labels, new = overconfident(np.random.default_rng(10**6), 20_000)
    for draw in range(draws):
        labels, raw = overconfident(np.random.default_rng(draw), images)
        groups = np.arange(images)
        crossed = calibration.cross_fit(settings, raw, labels, groups, seed=draw)(raw)
        right = crossed.argmax(axis=1) == labels
        certificate = certify(crossed.max(axis=1), right, groups, 0.02, CONFIDENCE, seed=draw)
        if certificate.threshold is None:
            continue
        deployed = calibration.fit(settings, raw, labels)(new)
        answered = deployed.max(axis=1) >= certificate.threshold
        found += 1
        broken += (deployed.argmax(axis=1) != new_labels)[answered].mean() > 0.02
    assert found > draws / 2
    assert broken <= binom.ppf(0.999, draws, 1 - CONFIDENCE)


def test_sets_keep_their_promise_overall_and_for_every_class():
    """Mean coverage over draws is at least 1 − error, and at most 1 / (n + 1) above it."""
    error, draws, images = 0.1, 300, 200
    labels, probabilities = overconfident(np.random.default_rng(10**6), 20_000)
    coverage = np.zeros((draws, CLASSES))
    for draw in range(draws):
        known, of_known = overconfident(np.random.default_rng(draw), images)
        sets = conformal.fit(of_known, known, np.arange(images), error, seed=draw)(probabilities)
        hit = sets[np.arange(len(labels)), labels]
        coverage[draw] = [hit[labels == number].mean() for number in range(CLASSES)]
    tolerance = 4 * coverage.std(axis=0) / np.sqrt(draws) + 0.005  # 0.005: of the 20,000 images, 4,000 of the rarest
    few = (SHARES * images * 0.7) + 1  # hardly a draw has fewer
    assert (coverage.mean(axis=0) >= 1 - error - tolerance).all()
    assert (coverage.mean(axis=0) <= 1 - error + 1 / few + tolerance).all()
    assert (coverage @ SHARES).mean() >= 1 - error - 0.01


def test_sets_of_one_threshold_for_all_classes_would_fail_the_rarest():
    """So that the test by class can fail: the same quantile over all classes covers the rarest class too seldom."""
    coverage = []
    labels, probabilities = overconfident(np.random.default_rng(10**6), 20_000)
    for draw in range(100):
        known, of_known = overconfident(np.random.default_rng(draw), 200)
        least = np.sort(of_known[np.arange(200), known])[int(0.1 * 201) - 1]
        coverage.append((probabilities[labels == 2, 2] >= least).mean())
    assert np.mean(coverage) < 0.87
