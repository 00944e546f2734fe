"""Sets of classes that hold the right one with a given chance: class-conditional split-conformal prediction.

A class is in the set if its probability is at least a threshold of its own, chosen such that the set of a new image of
the class misses it with a chance of at most `error`. That holds on average over draws of the images that the threshold
is chosen on, for images drawn like them, whatever the model; it says nothing about other images. The score is 1 − p of
the class (LAC: Sadinle, Lei & Wasserman 2019), the quantile that of each class (Mondrian: Vovk 2012).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fakeprint import seeds
from fakeprint.folds import group_folds
from fakeprint.verdict.certificate import one_per_group
from fakeprint.verdict.selective import Share, share

FOLDS = 5  # of the figures on the images of the fit


@dataclass(frozen=True)
class ConformalSets:
    """Thresholds of the sets.

    least: probability from which each class is in the set, float (C,), in [0, 1]; 0 for a class with so few images that
    only sets that always hold it keep the promise. error: share of a class's images that may miss it, in (0, 1).
    images: of each class that the thresholds were chosen on, one per group.
    """

    least: list[float]
    error: float
    images: list[int]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Which classes are in each image's set, bool (N, C), by its calibrated probabilities, float (N, C).

        A set may be empty: no class is likely enough. That does not mean that the image is of an unknown class. Empty
        sets are a part of the `error` of known ones, and an image of an unknown class may well have a full set.
        """
        return probabilities >= np.array(self.least)

    def as_json(self) -> dict[str, Any]:
        """The fields, which `ConformalSets(**content)` takes."""
        return {"least": self.least, "error": self.error, "images": self.images}


def fit(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, error: float, seed: int) -> ConformalSets:
    """Choose the thresholds.

    Of the n images of a class, one from each group, the threshold is the ⌊error · (n + 1)⌋-th lowest probability of
    that class: the ⌈(1 − error)(n + 1)⌉-th lowest of 1 − p. With n below 1 / error − 1 it is 0.

    Args:
        probabilities: float (N, C), calibrated, of images that the model did not learn from.
        labels: int (N,), class indices.
        groups: int (N,), equal for images that are not independent.
        error: in (0, 1).
        seed: params.seed, of the draw from each group.
    """
    rows = one_per_group(groups, seed)
    least, images = [], []
    for number in range(probabilities.shape[1]):
        own = np.sort(probabilities[rows, number][labels[rows] == number])
        place = int(np.floor(error * (len(own) + 1) + 1e-9))  # 0.1 · 30 is 3, not a little less
        least.append(float(own[place - 1]) if place else 0.0)
        images.append(len(own))
    return ConformalSets(least, error, images)


def cross_fitted(
    probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, error: float, seed: int
) -> np.ndarray:
    """Sets of the images of a fit by thresholds that were chosen without them, bool (N, C), for figures on them.

    In `FOLDS` folds of whole groups. On the images that thresholds were chosen on, coverage is as requested by
    construction. Arguments as of `fit`.
    """
    fold = group_folds(labels, groups, FOLDS, seeds.generator(seed, "decide/folds"))
    sets = np.zeros(probabilities.shape, dtype=bool)
    for number in range(FOLDS):
        own = fold == number
        sets[own] = fit(probabilities[~own], labels[~own], groups[~own], error, seed)(probabilities[own])
    return sets


@dataclass(frozen=True)
class SetFigures:
    """How sets do on images whose classes are known.

    coverage: share of images whose set holds their class; of each class in `class_coverage`. size: mean number of
    classes in a set, by class in `class_size` (NaN without images). empty: share of empty sets; by class in
    `class_empty`.
    """

    coverage: Share
    size: float
    empty: Share
    class_coverage: list[Share]
    class_size: list[float]
    class_empty: list[Share]

    def as_json(self, names: list[str]) -> dict[str, Any]:
        """Nested numbers. names: of the C classes."""
        columns = zip(names, self.class_coverage, self.class_size, self.class_empty, strict=True)
        classes = {
            name: {"coverage": coverage.as_json(), "empty": empty.as_json()}
            | ({} if np.isnan(size) else {"mean_size": round(size, 6)})
            for name, coverage, size, empty in columns
        }
        return {
            "coverage": self.coverage.as_json(),
            "mean_size": round(self.size, 6),
            "empty": self.empty.as_json(),
            "classes": classes,
        }


def set_figures(sets: np.ndarray, labels: np.ndarray, groups: np.ndarray, confidence: float) -> SetFigures:
    """Coverage, size and empty sets, with intervals.

    sets: bool (N, C). labels: int (N,), class indices. groups: int (N,). confidence: of the intervals.
    """
    covered = sets[np.arange(len(labels)), labels]
    size = sets.sum(axis=1)
    everything = np.ones(len(labels), dtype=bool)
    of_class = [labels == number for number in range(sets.shape[1])]
    return SetFigures(
        share(covered, everything, groups, confidence),
        float(size.mean()),
        share(size == 0, everything, groups, confidence),
        [share(covered, own, groups, confidence) for own in of_class],
        [float(size[own].mean()) if own.any() else float("nan") for own in of_class],
        [share(size == 0, own, groups, confidence) for own in of_class],
    )
