"""How sure a figure is: intervals of one accuracy, paired tests of two, and their correction for many."""

import numpy as np
from scipy.stats import binomtest


def wilson(correct: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of an accuracy (Wilson 1927): lower and upper bound in [0, 1].

    It holds its level near 0 and 1 and for few images, where the usual ± interval does not.
    """
    interval = binomtest(correct, images).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided p-value of the exact McNemar test (McNemar 1947): are two models right equally often?

    correct_a, correct_b: bool (N,), of the same images in the same order. Only images on which one is right and the
    other wrong count; without any the p-value is 1.
    """
    only_a = int(np.count_nonzero(correct_a & ~correct_b))
    only_b = int(np.count_nonzero(correct_b & ~correct_a))
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction (Holm 1979): adjusted p-values, float (M,) in [0, 1], in the order given.

    Rejecting where the adjusted value is below α keeps the chance of any false rejection among the M below α.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted
