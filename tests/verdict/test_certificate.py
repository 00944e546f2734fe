"""The certificate's parts by hand, against SciPy, and in words. Its level is simulated in test_simulations.py."""

import numpy as np
import pytest
from scipy.stats import beta

from fakeprint.verdict.certificate import (
    NEVER,
    THRESHOLDS,
    Certificate,
    certify,
    counts,
    fewest_images,
    images_at_start,
    lower_bound,
    one_per_group,
    upper_bound,
)


def images(*parts):
    """Scores and correctness of parts, each (score, images, errors)."""
    scores = np.concatenate([np.full(count, score) for score, count, _ in parts])
    correct = np.concatenate([np.arange(count) >= errors for _, count, errors in parts])
    return scores, correct


def certified(*parts, max_error=0.02, confidence=0.95):
    scores, correct = images(*parts)
    return certify(scores, correct, np.arange(len(scores)), max_error, confidence, seed=1)


@pytest.mark.parametrize(("max_error", "confidence"), [(0.01, 0.95), (0.02, 0.95), (0.1, 0.9), (0.3, 0.99)])
def test_without_errors_the_fewest_images_are_those_of_the_binomial(max_error, confidence):
    fewest = fewest_images(0, max_error, confidence)
    assert (1 - max_error) ** fewest <= 1 - confidence < (1 - max_error) ** (fewest - 1)


def test_one_per_cent_needs_299_images():
    assert fewest_images(0, 0.01, 0.95) == 299
    assert fewest_images(0, 0.02, 0.95) == 149


@pytest.mark.parametrize("errors", [0, 1, 7])
def test_fewest_images_are_the_first_that_pass(errors):
    fewest = fewest_images(errors, 0.05, 0.9)
    assert beta.ppf(0.9, errors + 1, fewest - errors) <= 0.05 < beta.ppf(0.9, errors + 1, fewest - 1 - errors)


def test_bounds_are_clopper_and_pearson_s():
    errors, answered = np.array([0, 3, 12, 40]), np.array([50, 200, 976, 40])
    assert upper_bound(errors, answered, 0.95)[:3] == pytest.approx(beta.ppf(0.95, errors + 1, answered - errors)[:3])
    assert lower_bound(errors, answered, 0.95)[1:] == pytest.approx(beta.ppf(0.05, errors, answered - errors + 1)[1:])
    assert upper_bound(errors, answered, 0.95)[3] == 1  # all wrong
    assert lower_bound(errors, answered, 0.95)[0] == 0
    assert upper_bound(np.array(0), np.array(0), 0.95) == 1


def test_thresholds_fall_and_end_with_all_images():
    assert (np.diff(THRESHOLDS) < 0).all()
    assert THRESHOLDS[-1] == 0


def test_counts_are_of_images_with_at_least_the_threshold():
    scores, correct = np.array([1.0, 0.99, 0.9899, 0.5, NEVER]), np.array([True, False, True, False, False])
    answered, errors = counts(scores, correct)
    for place, threshold in enumerate(THRESHOLDS):
        assert answered[place] == np.count_nonzero(scores >= threshold)
        assert errors[place] == np.count_nonzero((scores >= threshold) & ~correct)


def test_the_sequence_goes_on_until_the_first_failure():
    """At 0.8 23 of 900 would be wrong: too many. At 0.6 the share is fine again, but the sequence has ended."""
    found = certified((0.97, 300, 1), (0.9, 300, 4), (0.8, 300, 18), (0.6, 3000, 0))
    assert (found.threshold, found.answered, found.errors) == (0.81, 600, 5)
    assert found.bound == pytest.approx(beta.ppf(0.95, 6, 595))
    assert upper_bound(np.array(23), np.array(900), 0.95) > 0.02
    assert upper_bound(np.array(23), np.array(3900), 0.95) < 0.02


def test_one_wrong_answer_among_the_first_does_not_end_the_sequence():
    """Of 150 images none may be wrong; the first test waits for 523, of which 5 may."""
    assert images_at_start(1250, 0.02, 0.95) == fewest_images(5, 0.02, 0.95) == 523
    assert certified((0.999, 150, 1), (0.9, 1100, 5)).threshold == 0


@pytest.mark.parametrize(("count", "start"), [(100, 149), (300, 149), (480, 236), (630, 313), (10**6, 523)])
def test_the_first_test_leaves_half_of_the_images(count, start):
    assert images_at_start(count, 0.02, 0.95) == start


def test_too_few_images():
    found = certified((0.99, 120, 0))
    assert found == Certificate(None, 120, 0, 0, 1.0, 0.02, 0.95)
    assert found.line == (
        "not certifiable with 120 images: at most 2 % errors with 95 % confidence need at least 149 answered images, "
        "all of them right"
    )


def test_no_images():
    found = certify(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=int), 0.02, 0.95, seed=1)
    assert found.line.startswith("not certifiable with 0 images: at most 2 % errors")


def test_too_many_errors_from_the_start():
    found = certified((0.99, 200, 6), (0.5, 50, 0))
    assert (found.threshold, found.answered, found.errors) == (None, 200, 6)
    assert found.line == (
        "not certifiable with 250 images: 6 wrong among the 200 surest answers, so up to 5.83 % with 95 % confidence; "
        f"for 2 %, 6 wrong need at least {fewest_images(6, 0.02, 0.95)} answered images"
    )


def test_the_line_of_a_certificate():
    found = certified((0.97, 300, 1), (0.9, 300, 4), (0.8, 300, 18))
    assert found.line == (
        "score of at least 0.81: at most 2 % of answers are wrong (95 % confidence); 5 wrong among 600 answers to 900 "
        f"images, bound {100 * beta.ppf(0.95, 6, 595):.3g} %"
    )


def test_images_that_are_never_answered_do_not_count_at_any_threshold():
    found = certified((0.9, 400, 0), (NEVER, 600, 600))
    assert (found.threshold, found.images, found.answered, found.errors) == (0, 1000, 400, 0)


def test_a_group_counts_once():
    """Ten copies of 100 images are 100 images: not enough for 2 %."""
    scores, correct = images((0.99, 1000, 0))
    found = certify(scores, correct, np.arange(1000) % 100, 0.02, 0.95, seed=1)
    assert (found.threshold, found.images) == (None, 100)


def test_the_image_of_a_group_is_drawn_evenly():
    groups = np.array([5, 5, 5, 5, 2])
    drawn = np.array([one_per_group(groups, seed) for seed in range(400)])
    assert drawn.shape == (400, 2)
    assert (drawn[:, 1] == 4).all()
    assert np.bincount(drawn[:, 0], minlength=4) == pytest.approx(np.full(4, 100), abs=35)
    assert (one_per_group(groups, 3) == one_per_group(groups, 3)).all()


def test_a_certificate_survives_json():
    found = certified((0.9, 1000, 3))
    assert Certificate(**found.as_json()) == found
