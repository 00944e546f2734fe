import numpy as np
import pytest
from scipy import stats

from fakeprint.studies import paired


@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_is_scipys_exact_test(seed):
    rng = np.random.default_rng(seed)
    differences = rng.normal(0.5, 1, 3 + 3 * seed)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert paired.wilcoxon(differences) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_ties_and_zeros_are_exact_too(seed):
    """Against all 2^n signs, which scipy goes through for few differences."""
    differences = np.random.default_rng(seed).integers(-2, 4, 9) / 100
    nonzero = differences[differences != 0]
    expected = stats.wilcoxon(nonzero, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue
    assert len(np.unique(np.abs(nonzero))) < len(nonzero)
    assert paired.wilcoxon(differences) == pytest.approx(expected, abs=1e-12)


def test_rounding_makes_no_ranks():
    """0.3 − 0.2 and 0.2 − 0.1 are the same difference."""
    assert paired.wilcoxon(np.array([0.3 - 0.2, 0.2 - 0.1, -0.1])) == paired.wilcoxon(np.array([0.1, 0.1, -0.1]))


def test_no_difference_at_all_has_p_1():
    assert paired.wilcoxon(np.zeros(5)) == 1.0


@pytest.mark.parametrize(("n", "least"), [(1, 1.0), (3, 0.25), (5, 0.0625), (6, 0.03125), (8, 0.0078125)])
def test_the_smallest_p_is_that_of_differences_of_one_sign(n, least):
    assert paired.smallest_p(n) == least
    assert paired.wilcoxon(np.arange(1.0, n + 1)) == pytest.approx(least)


@pytest.mark.parametrize("comparisons", [1, 2, 3, 8, 20, 100])
def test_the_seeds_needed_are_the_fewest_that_can_show_a_difference(comparisons):
    needed = paired.seeds_needed(comparisons)
    assert paired.smallest_p(needed) * comparisons < paired.LEVEL <= paired.smallest_p(needed - 1) * comparisons


def test_seeds_needed_in_figures():
    assert [paired.seeds_needed(count) for count in (1, 3, 4)] == [6, 7, 8]


def test_the_plain_t_is_scipys():
    differences = np.random.default_rng(0).normal(0.3, 1, 7)
    assert paired.corrected_t(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_folds_get_the_correction_of_nadeau_and_bengio():
    """Ten folds, each a tenth: the variance counts 1/10 + 1/9 instead of 1/10."""
    differences = np.random.default_rng(1).normal(0.5, 1, 10)
    t = differences.mean() / np.sqrt((1 / 10 + 1 / 9) * differences.var(ddof=1))
    assert paired.corrected_t(differences, 1 / 9) == pytest.approx(2 * stats.t.sf(abs(t), 9))
    assert paired.corrected_t(differences, 1 / 9) > paired.corrected_t(differences)


def test_equal_differences_are_certain_and_none_are_nothing():
    assert paired.corrected_t(np.full(3, 0.5)) == 0.0
    assert paired.corrected_t(np.zeros(3)) == 1.0
