"""How well a score tells images of unknown classes from those of known ones, with intervals.

An image is called unknown if its score is at least a threshold. Images of equal score are treated together. As in
`evaluation.detection`, every figure is computed for many weightings of the images at once, one column of weights for
each resample of the bootstrap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fakeprint import seeds
from fakeprint.evaluation.detection import Detector
from fakeprint.evaluation.detection_intervals import intervals_of, resamples
from fakeprint.evaluation.intervals import Interval
from fakeprint.folds import group_folds

TPR = 0.95  # share of the unknown images found, of `fpr_at_95_percent_tpr`
FALSE_ALARMS = 0.05  # share of the known images called unknown, of `found_at_5_percent_false_alarms`
ROUNDING = 1e-9
FIGURES = (
    "auroc",
    "aupr_unknown",
    "aupr_known",
    "fpr_at_95_percent_tpr",
    "found_at_5_percent_false_alarms",
    "oscr",
)
RATES = ("found", "false_alarms")


@dataclass(frozen=True)
class Scored:
    """One score of N known and unknown images, at least one of each.

    unknown: bool (N,). scores: float (N,), higher = more likely unknown. correct: bool (N,), whether a known image's
    predicted class is its own. groups: int (N,), equal for images that are not independent.
    """

    unknown: np.ndarray
    scores: np.ndarray
    correct: np.ndarray
    groups: np.ndarray

    def at(self, rows: np.ndarray) -> "Scored":
        """These rows only, bool or int."""
        return Scored(*(column[rows] for column in vars(self).values()))


def weighted_figures(scored: Scored, weights: np.ndarray) -> dict[str, np.ndarray]:
    """`FIGURES` under every weighting of the images, float (B,) each.

    auroc: the share of pairs in which the unknown image scores higher, ties half. aupr_unknown, aupr_known: average
    precision as scikit-learn defines it, unknown images as positives, and known ones; they depend on the share of
    unknown images in the data. fpr_at_95_percent_tpr: the share of known images called unknown at the highest threshold
    that finds 95 % of the unknown ones; lower is better. found_at_5_percent_false_alarms: the largest share of unknown
    images found with at most 5 % of the known ones called unknown (1 − "FPR95" of papers in which known images are the
    positives). oscr: the area under the rate of known images accepted and correctly classified, over the rate of
    unknown images accepted (Dhamija, Günther and Boult 2018); at most the accuracy on known images.

    weights: float64 (N, B), not negative, some for images of both kinds.
    """
    order = np.argsort(-scored.scores, kind="stable")
    starts = np.flatnonzero(np.diff(-scored.scores[order], prepend=-np.inf))
    unknown, known, correct = (
        np.add.reduceat(np.where(kind[order, None], weights[order], 0.0), starts, axis=0)
        for kind in (scored.unknown, ~scored.unknown, scored.correct & ~scored.unknown)
    )  # weight at each distinct score, highest first, (T, B)
    unknown_from, known_from, correct_from = (np.cumsum(part, axis=0) for part in (unknown, known, correct))
    unknowns, knowns = unknown_from[-1], known_from[-1]
    known_below, unknown_below = knowns - known_from, unknowns - unknown_from
    enough = unknown_from >= TPR * unknowns - ROUNDING
    few = known_from <= FALSE_ALARMS * knowns + ROUNDING
    return {
        "auroc": np.sum(unknown * (known_below + known / 2), axis=0) / (unknowns * knowns),
        "aupr_unknown": np.sum(unknown * _share(unknown_from, known_from), axis=0) / unknowns,
        "aupr_known": np.sum(known * _share(known_below + known, unknown_below + unknown), axis=0) / knowns,
        "fpr_at_95_percent_tpr": np.take_along_axis(known_from, enough.argmax(axis=0)[None], axis=0)[0] / knowns,
        "found_at_5_percent_false_alarms": np.max(np.where(few, unknown_from, 0.0), axis=0) / unknowns,
        "oscr": np.sum(unknown * (correct_from[-1] - correct_from + correct / 2), axis=0) / (unknowns * knowns),
    }


def _share(part: np.ndarray, rest: np.ndarray) -> np.ndarray:
    return np.divide(part, part + rest, out=np.zeros_like(part), where=part > 0)


def weighted_rates(scored: Scored, threshold: float, weights: np.ndarray) -> dict[str, np.ndarray]:
    """`RATES`: the shares of unknown and of known images called unknown at a threshold, float (B,) each."""
    called = weights * (scored.scores >= threshold)[:, None]
    kinds = {"found": scored.unknown, "false_alarms": ~scored.unknown}
    return {name: called[kind].sum(axis=0) / weights[kind].sum(axis=0) for name, kind in kinds.items()}


def figures(
    scored: Scored, threshold: float | None, seed: int, confidence: float
) -> tuple[dict[str, float], dict[str, Interval]]:
    """`FIGURES` and, at a threshold, `RATES`; and their intervals, as far as they have some.

    Groups are drawn with replacement 2,000 times, known and unknown ones separately, see `detection_intervals`. The
    threshold stays fixed: it was chosen on other images.
    """

    def of(weights: np.ndarray) -> dict[str, np.ndarray]:
        rates = {} if threshold is None else weighted_rates(scored, threshold, weights)
        return weighted_figures(scored, weights) | rates

    detector = Detector(scored.unknown, scored.scores, scored.groups, np.full(len(scored.scores), None, dtype=object))
    found = of(np.ones((len(scored.scores), 1)))
    blocks = [of(weights) for weights in resamples(detector, seed)]
    sides = tuple(len(np.unique(scored.groups[kind])) for kind in (~scored.unknown, scored.unknown))
    intervals = intervals_of(found, blocks, (sides[0], sides[1]), confidence)
    return {name: float(values[0]) for name, values in found.items()}, intervals


def chosen_threshold(others: Sequence[Scored]) -> float:
    """The threshold with the best mean of (found + 1 − false alarms) / 2 over sets of images, each counting as one.

    Halfway between two scores; of equally good ones the highest. others: the results of other left-out classes, so that
    nothing of the class that the threshold is used on enters it.
    """
    levels = np.unique(np.concatenate([each.scores for each in others]))
    candidates = np.append((levels[1:] + levels[:-1]) / 2, np.nextafter(levels[-1], np.inf))
    gained = np.zeros(len(candidates))
    for each in others:
        known, unknown = np.sort(each.scores[~each.unknown]), np.sort(each.scores[each.unknown])
        below = [np.searchsorted(part, candidates, side="left") / len(part) for part in (known, unknown)]
        gained += below[0] - below[1]
    best = np.flatnonzero(gained >= gained.max() - ROUNDING)
    return float(candidates[best[-1]])


def known_threshold(known: np.ndarray, share: float = FALSE_ALARMS) -> float:
    """The lowest threshold above which lie at most `share` of the known images' scores, float (N,), N ≥ 1.

    One of the scores, so that images are called unknown whose score is above it.
    """
    most = int(np.floor(share * len(known) + ROUNDING))
    return float(np.sort(known)[len(known) - 1 - min(most, len(known) - 1)])


def cross_fitted_false_alarms(
    known: np.ndarray, groups: np.ndarray, folds: int, share: float, seed: int, lowest: float = -np.inf
) -> float:
    """The share of known images whose score is above the `known_threshold` of the other folds.

    known: float (N,), scores of images of known classes. groups: int (N,), which stay in one fold. lowest: that a
    threshold may be. Raises ValueError for fewer groups than folds.
    """
    if len(np.unique(groups)) < folds:
        raise ValueError("fewer groups than folds")
    fold = group_folds(np.zeros(len(known), dtype=np.int64), groups, folds, seeds.generator(seed, "unknown/folds"))
    called = np.zeros(len(known), dtype=bool)
    for number in range(folds):
        threshold = max(lowest, known_threshold(known[fold != number], share))
        called[fold == number] = known[fold == number] > threshold
    return float(called.mean())
