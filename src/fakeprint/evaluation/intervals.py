"""Uncertainty of metrics: intervals of proportions, paired tests of two models, correction for many tests."""

from itertools import combinations

import numpy as np
from scipy.fft import irfft, next_fast_len
from scipy.special import bdtr, expit, logit, ndtri, stdtrit  # `scipy.stats` takes a second to import

Interval = tuple[float, float]
ROUNDING = 1e-12  # relative difference up to which figures are equal


def wilson(correct: int, images: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of an accuracy (Wilson 1927): lower and upper bound in [0, 1].

    Unlike the usual ± interval it keeps its confidence level near 0 and 1 and for few images. images ≥ 1, all
    independent; see `proportion` for groups.
    """
    return _score_interval(correct / images, images, float(ndtri(0.5 + confidence / 2)))


def proportion(correct: np.ndarray, images: np.ndarray, confidence: float = 0.95) -> Interval | None:
    """Interval of a share of images, correct.sum() / images.sum(), in [0, 1]; None if there are no images.

    correct, images: (G,), counts of each group; images of a group need not be independent. If no group has more than
    one image, this is Wilson's interval. Otherwise it is Wilson's interval for the effective number of independent
    images (images / design effect: Rao & Scott 1992; near 0 and 1 and for few groups it keeps its confidence level
    better than a bootstrap), at most the actual number, with Student's t for G groups. The design effect of a share of
    0 or 1 cannot be estimated: then each group counts as one image.
    """
    correct, images = correct[images > 0], images[images > 0]
    groups, total = len(images), float(images.sum())
    if not groups:
        return None
    share = float(correct.sum() / total)
    if images.max() <= 1:
        return _score_interval(share, total, float(ndtri(0.5 + confidence / 2)))
    effective = float(groups)
    if groups > 1 and 0 < share < 1:
        variance = groups / (groups - 1) * float(np.sum((correct - share * images) ** 2)) / total**2
        effective = min(total, share * (1 - share) / variance) if variance else total
    quantile = float(stdtrit(max(1, groups - 1), 0.5 + confidence / 2))
    return _score_interval(share, effective, quantile)


def _score_interval(share: float, images: float, quantile: float) -> Interval:
    """Wilson's interval; images may be fractional; quantile: of the standard normal or of Student's t."""
    square = quantile**2 / images
    middle = (share + square / 2) / (1 + square)
    half = quantile / (1 + square) * np.sqrt((share * (1 - share) + square / 4) / images)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def f1_interval(
    hits: np.ndarray, actual: np.ndarray, predicted: np.ndarray, confidence: float = 0.95
) -> Interval | None:
    """Interval of a class's F1; None if it is not defined. Arguments: counts of each group, (G,), as for `proportion`.

    F1 = 2q / (1 + q), where q is the share of hits among the images that are of the class or predicted as it: the
    interval is that of the proportion q, transformed (the indirect method of Lam, Gopal & Qian 2023, arXiv 2309.14621).
    """
    shares = proportion(hits, actual + predicted - hits, confidence)
    return None if shares is None else (2 * shares[0] / (1 + shares[0]), 2 * shares[1] / (1 + shares[1]))


def symmetric(
    figure: float, error: float, groups: int, confidence: float = 0.95, most: float | None = 1.0
) -> Interval | None:
    """Interval of a figure that is not a proportion, from its standard error; None if that is 0 or unknown.

    An error within rounding counts as 0: the log loss of a constant prediction, for example, gets no interval.

    Symmetric on the scale of the logit, for a figure in [0, most], or of the logarithm, for most = None; so it stays in
    its range and is longer on the side away from the limit. It uses Student's t for this number of groups.
    """
    if groups < 2 or not error > ROUNDING * figure or figure <= 0 or (most is not None and figure >= most):
        return None
    quantile = float(stdtrit(groups - 1, 0.5 + confidence / 2))
    if most is None:
        return figure * float(np.exp(-quantile * error / figure)), figure * float(np.exp(quantile * error / figure))
    share = figure / most
    reach = quantile * error / (most * share * (1 - share))
    return most * float(expit(logit(share) - reach)), most * float(expit(logit(share) + reach))


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided p-value of the exact McNemar test (McNemar 1947) that two models are right equally often.

    correct_a, correct_b: bool (N,), of the same independent images in the same order. Only images on which exactly
    one model is right count; without any the p-value is 1.
    """
    only_a, only_b = np.count_nonzero(correct_a & ~correct_b), np.count_nonzero(correct_b & ~correct_a)
    return float(_mcnemar(np.array(only_a), np.array(only_b)))


def _mcnemar(only_a: np.ndarray, only_b: np.ndarray) -> np.ndarray:
    """p-values from the numbers of images on which only a, and only b, is right."""
    return np.minimum(1.0, 2 * bdtr(np.minimum(only_a, only_b), only_a + only_b, 0.5))


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p-value of the exact sign-flip test (Fisher 1935) that two models are right equally often.

    differences: int (G,), per group the number of images that only the first has right minus that of only the second.
    If neither is better, each difference is equally likely with the other sign. The p-value is the share of all 2^G
    choices of signs whose sum is at least as far from 0 as the observed one, exact to 1e-13, from the product of the
    groups' characteristic functions. With groups of one image it is McNemar's.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    reach, observed = int(np.sum(sizes * counts)), abs(int(differences.sum()))
    if observed == 0:
        return 1.0
    length = next_fast_len(2 * reach + 1, real=True)
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    product = np.ones_like(angles)
    for size, count in zip(sizes, counts, strict=True):
        product *= np.cos(size * angles) ** count
    return float(np.clip(2 * irfft(product, length)[observed : reach + 1].sum(), 0.0, 1.0))


def paired_tests(correct: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """p-values of all pairs of models, float (M, M), symmetric, 1 on the diagonal.

    correct: bool (M, N), of the same images in the same order. groups: int (N,), equal for images that are not
    independent. McNemar's test if each image is its own group, otherwise the sign-flip test of groups.
    """
    numbers, group = np.unique(groups, return_inverse=True)
    if len(numbers) == len(groups):
        right = correct.astype(np.float64)
        only = (right @ (1 - right).T).astype(np.int64)
        return _mcnemar(only, only.T)
    hits = np.array([np.bincount(group, weights=row) for row in correct]).astype(np.int64)
    p_values = np.ones((len(hits), len(hits)))
    for a, b in combinations(range(len(hits)), 2):
        p_values[a, b] = p_values[b, a] = sign_flip(hits[a] - hits[b])
    return p_values


def against_any(correct: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Holm-corrected p-values of all pairs of models, float (M, M); arguments and tests as in `paired_tests`.

    The family is all M (M − 1) / 2 pairs. So the values of one model against the others are valid even if that model
    was selected as the best on these images.
    """
    p_values = paired_tests(correct, groups)
    rows, columns = np.triu_indices(len(p_values), 1)
    adjusted = np.ones_like(p_values)
    adjusted[rows, columns] = adjusted[columns, rows] = holm(p_values[rows, columns])
    return adjusted


def against_one(correct: np.ndarray, groups: np.ndarray, one: int) -> np.ndarray:
    """Holm-corrected p-values of each model against model `one`, float (M,), 1 for itself.

    Arguments as in `paired_tests`. The family is M − 1 pairs: only valid for a model that was not selected on these
    images.
    """
    adjusted = np.ones(len(correct))
    others = np.arange(len(correct)) != one
    adjusted[others] = holm(paired_tests(correct, groups)[one, others])
    return adjusted


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
