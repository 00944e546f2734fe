import itertools

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from benchmarks.family_wise_error import LEVEL, all_pairs, family_wise_errors, naive, on_test
from fakeprint.evaluation.intervals import (
    against_any,
    f1_interval,
    holm,
    mcnemar,
    paired_tests,
    proportion,
    sign_flip,
    symmetric,
    wilson,
)


def binomial_bounds(share, trials, chance=0.001):
    """Between these a share of `trials` lies but for this chance on each side."""
    return binom.ppf(chance, trials, share) / trials, binom.ppf(1 - chance, trials, share) / trials


def test_wilson_against_published_values():
    # Newcombe 1998, table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_more_confidence_is_a_wider_interval():
    low_99, high_99 = wilson(90, 100, 0.99)
    low_90, high_90 = wilson(90, 100, 0.90)
    assert low_99 < low_90 < 0.9 < high_90 < high_99


def test_mcnemar_by_hand():
    # 5 images only a gets right, 1 only b: 2 · (C(6,0) + C(6,1)) / 2⁶ = 14 / 64. Where they agree does not count.
    a = np.array([True] * 5 + [False] + [True] * 7 + [False] * 2)
    b = np.array([False] * 5 + [True] + [True] * 7 + [False] * 2)
    assert mcnemar(a, b) == pytest.approx(14 / 64)
    assert mcnemar(b, a) == pytest.approx(14 / 64)


def test_mcnemar_of_equal_models_is_one():
    right = np.array([True, False, True])
    assert mcnemar(right, right) == 1


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.5.
    assert holm(np.array([0.03, 0.01, 0.5, 0.02])) == pytest.approx([0.06, 0.04, 0.5, 0.06])


def test_holm_never_exceeds_one_nor_falls():
    assert holm(np.array([0.9, 0.4, 0.8])) == pytest.approx([1.0, 1.0, 1.0])
    assert holm(np.array([])).tolist() == []


def test_a_proportion_of_independent_images_has_wilsons_interval():
    correct = np.array([1, 0, 1, 1, 0, 1])
    assert proportion(correct, np.ones(6)) == wilson(4, 6)
    assert proportion(np.array([1, 0, 1, 0]), np.array([1, 0, 1, 0])) == wilson(2, 2)  # groups of another class
    assert proportion(np.zeros(3), np.zeros(3)) is None


def test_the_interval_of_groups_is_that_of_so_many_independent_images():
    # Ten groups of four images, each all right or all wrong: as ten images, with Student's t in place of the normal.
    hits = np.array([4] * 7 + [0] * 3)
    low, high = proportion(hits, np.full(10, 4))
    by_ten, by_forty = wilson(7, 10), wilson(28, 40)
    assert low < by_ten[0] < by_forty[0] < by_forty[1] < by_ten[1] < high
    assert high - low < 1.25 * (by_ten[1] - by_ten[0])
    # Groups that tell no more than their images: nearly the images' own.
    even = proportion(np.array([2] * 50), np.full(50, 4))
    assert even == pytest.approx(wilson(100, 200), abs=0.003)


@pytest.mark.parametrize("hits", [0, 4])
def test_groups_that_show_no_scatter_count_as_one_image_each(hits):
    low, high = proportion(np.full(10, hits), np.full(10, 4))
    assert high - low > wilson(hits and 10, 10)[1] - wilson(hits and 10, 10)[0]
    assert (low == 0) == (hits == 0) and (high == 1) == (hits == 4)
    low, high = proportion(np.array([3]), np.array([4]))  # one group
    assert (low, high) == pytest.approx((0, 1), abs=0.02)


@pytest.mark.parametrize(("size", "share"), [(1, 0.93), (1, 0.99), (5, 0.93), (5, 0.8)])
def test_coverage_of_a_proportion(size, share):
    """Groups in which images are right together; taken for independent ones, their intervals hold too seldom."""
    rng, samples, groups = np.random.default_rng(5), 1000, 60
    held = held_without = 0
    for _ in range(samples):
        latent = np.sqrt(0.7) * rng.standard_normal((groups, 1)) + np.sqrt(0.3) * rng.standard_normal((groups, size))
        right = latent < norm.ppf(share)
        low, high = proportion(right.sum(axis=1), np.full(groups, size))
        held += low <= share <= high
        low, high = wilson(int(right.sum()), right.size)
        held_without += low <= share <= high
    assert held / samples >= binomial_bounds(0.94, samples)[0]
    if size > 1:
        assert held_without / samples < 0.85


def test_f1_is_a_proportion_transformed():
    # 6 hits of 8 images of the class, 7 predicted: q = 6 / 9, F1 = 12 / 15.
    hits = np.array([1] * 6 + [0] * 3)
    actual, predicted = np.array([1] * 8 + [0]), np.array([1] * 6 + [0, 0, 1])
    low, high = f1_interval(hits, actual, predicted)
    assert (low / (2 - low), high / (2 - high)) == pytest.approx(wilson(6, 9))
    assert f1_interval(np.zeros(2), np.zeros(2), np.zeros(2)) is None


def test_a_symmetric_interval_stays_in_range_and_needs_scatter():
    low, high = symmetric(0.99, 0.02, 1000)
    assert 0 < low < 0.99 < high < 1
    assert 0.99 - low > high - 0.99
    low, high = symmetric(2.0, 0.1, 1000, most=None)
    assert low * high == pytest.approx(4.0)
    assert (low, high) == pytest.approx((2 - 0.196, 2 + 0.196), abs=0.02)
    assert symmetric(1.0, 0.0, 1000) is None
    assert symmetric(0.5, 0.0, 1000) is None
    assert symmetric(0.5, 0.1, 1) is None
    wide = symmetric(0.5, 0.1, 5)
    assert wide[1] - wide[0] > 1.3 * np.subtract(*symmetric(0.5, 0.1, 1000)[::-1])  # Student's t for few groups


def test_sign_flip_against_all_choices_of_signs():
    differences = np.array([3, -1, 2, 0, 2, -1, 5])
    signed = [np.dot(signs, np.abs(differences)) for signs in itertools.product((-1, 1), repeat=7)]
    assert sign_flip(differences) == pytest.approx(np.mean(np.abs(signed) >= differences.sum()))
    assert sign_flip(np.array([2, -2, 0])) == 1
    assert sign_flip(np.array([], dtype=int)) == 1


def test_sign_flip_of_single_images_is_mcnemar():
    for only_a, only_b in ((5, 1), (0, 12), (40, 41), (300, 350)):
        differences = np.repeat([1, -1, 0], [only_a, only_b, 100])
        exact = min(1.0, binomtest(only_a, only_a + only_b).pvalue)
        assert sign_flip(differences) == pytest.approx(exact, rel=1e-9, abs=1e-13)
        a, b = differences > 0, differences < 0
        assert mcnemar(a, b) == pytest.approx(exact)


def test_paired_tests_are_of_groups_where_images_are_no_independent_evidence():
    right = np.ones(30, bool)
    wrong_on_ten = np.arange(30) >= 10
    alone = paired_tests(np.array([right, wrong_on_ten]), np.arange(30))
    assert alone == pytest.approx(np.array([[1, 2 / 2**10], [2 / 2**10, 1]]))
    five_each = paired_tests(np.array([right, wrong_on_ten]), np.arange(30) // 5)
    assert five_each[0, 1] == five_each[1, 0] == pytest.approx(0.5)  # two groups, of one sign


def test_all_pairs_are_one_family():
    rng = np.random.default_rng(0)
    correct = rng.random((4, 200)) < np.array([[0.95], [0.9], [0.8], [0.6]])
    p_values, adjusted = paired_tests(correct, np.arange(200)), against_any(correct, np.arange(200))
    upper = np.triu_indices(4, 1)
    assert adjusted[upper] == pytest.approx(holm(p_values[upper]))
    assert (adjusted == adjusted.T).all() and (np.diag(adjusted) == 1).all()


@pytest.mark.parametrize("frames", [1, 5])
@pytest.mark.slow
def test_the_family_wise_error_is_what_is_claimed(frames):
    """Of equal models, few leaderboards claim a difference; the champion's own comparisons alone claim too many."""
    leaderboards = 1000 if frames == 1 else 60
    *printed, forgetful = family_wise_errors([all_pairs, on_test, naive], 10, leaderboards, frames)
    most = binomial_bounds(LEVEL, leaderboards)[1]
    assert max(printed) <= most
    if frames == 1:  # groups of several images only ask whether the printed rules hold for them
        assert forgetful > most
