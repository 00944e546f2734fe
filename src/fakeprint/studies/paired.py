"""Paired tests of two arms over seeds or folds, and the smallest p-value that a number of seeds can reach."""

from math import ceil, log2

import numpy as np

from fakeprint.evaluation.intervals import sign_flip

LEVEL = 0.05  # of all claims of a study together
DIGITS = 12  # decimals beyond which figures are equal


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided p-value of the exact Wilcoxon signed-rank test (Wilcoxon 1945) that neither arm is better.

    differences: float (n,), one per seed. Zeros are left out, as Wilcoxon did; equal sizes share their mean rank. Exact
    with ties too, where `scipy.stats.wilcoxon` approximates: the p-value is that of all 2^n signs of these ranks.
    """
    from scipy.stats import rankdata

    differences = np.round(differences, DIGITS)
    differences = differences[differences != 0]
    doubled = (2 * rankdata(np.abs(differences))).astype(np.int64)  # mean ranks may end in .5
    return sign_flip(np.sign(differences).astype(np.int64) * doubled)


def corrected_t(differences: np.ndarray, held_out: float = 0.0) -> float:
    """Two-sided p-value of Student's t test that the mean difference is 0.

    differences: float (n,), n ≥ 2. held_out: validation images per image of train where the replicates' train splits
    overlap, as those of folds do: the variance is then larger by this share of n (Nadeau & Bengio 2003). 0 gives the
    usual test.
    """
    n = len(differences)
    error = np.sqrt(np.var(differences, ddof=1) * (1 / n + held_out))
    return two_sided(float(np.mean(differences)), float(error), n - 1)


def two_sided(difference: float, error: float, freedom: float) -> float:
    """Two-sided p-value of a difference with this standard error, by Student's t."""
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * stdtr(freedom, -abs(difference) / error))


def smallest_p(n: int) -> float:
    """The smallest p-value that the exact Wilcoxon test of n seeds can give: all differences have one sign."""
    return min(1.0, 2.0 ** (1 - n))


def seeds_needed(comparisons: int, level: float = LEVEL) -> int:
    """The fewest seeds with which the exact Wilcoxon test can show a difference among so many comparisons.

    Holm multiplies the smallest p-value by their number: if that is not below the level, nothing can be shown.
    """
    needed = max(1, ceil(1 + log2(comparisons / level)))
    return needed if smallest_p(needed) * comparisons < level else needed + 1
