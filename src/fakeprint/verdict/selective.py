"""What answering only the surest images gives: error against coverage, and both for each class.

Coverage is the share of images that are answered, risk the share of the answers that are wrong (El-Yaniv & Wiener
2010). An image is answered if its score, the largest calibrated probability, is at least a threshold.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.evaluation.intervals import Interval, proportion

POINTS = 200  # of the curve, at most: the file does not grow with the images
DIGITS = 6


@dataclass(frozen=True)
class Share:
    """A share of images with its interval; share and interval are None where there are no images.

    images: of which it is the share.
    """

    share: float | None
    interval: Interval | None
    images: int

    def as_json(self) -> dict[str, Any]:
        """share, images, and low and high; without images, images alone, since `dvc metrics` reads numbers only."""
        if self.share is None or self.interval is None:
            return {"images": self.images}
        low, high = self.interval
        return {
            "share": round(self.share, DIGITS),
            "low": round(low, DIGITS),
            "high": round(high, DIGITS),
            "images": self.images,
        }


@dataclass(frozen=True)
class Selected:
    """What is answered at a threshold.

    coverage: of the images. error: of the answered ones. The lists have an entry per class: coverage and error of its
    own images, and `named`, the error of the answers that say the class.
    """

    coverage: Share
    error: Share
    class_coverage: list[Share]
    class_error: list[Share]
    named_error: list[Share]

    def as_json(self, names: list[str]) -> dict[str, Any]:
        """Nested numbers. names: of the C classes."""
        columns = zip(names, self.class_coverage, self.class_error, self.named_error, strict=True)
        classes = {
            name: {"coverage": coverage.as_json(), "error": error.as_json(), "error_where_named": named.as_json()}
            for name, coverage, error, named in columns
        }
        return {"coverage": self.coverage.as_json(), "error": self.error.as_json(), "classes": classes}


def share(chosen: np.ndarray, among: np.ndarray, groups: np.ndarray, confidence: float) -> Share:
    """The share of `chosen` images among others, with an interval that takes groups as units (`intervals.proportion`).

    chosen, among: bool (N,). groups: int (N,), equal for images that are not independent.
    """
    if not among.any():
        return Share(None, None, 0)
    _, group = np.unique(groups[among], return_inverse=True)
    hits = np.bincount(group, weights=chosen[among])
    interval = proportion(hits, np.bincount(group).astype(np.float64), confidence)
    return Share(float(chosen[among].mean()), interval, int(among.sum()))


def selected(
    probabilities: np.ndarray, labels: np.ndarray, answered: np.ndarray, groups: np.ndarray, confidence: float
) -> Selected:
    """Coverage and error, overall and for each class.

    Args:
        probabilities: float (N, C).
        labels: int (N,), class indices.
        answered: bool (N,).
        groups: int (N,), equal for images that are not independent.
        confidence: of the intervals, in (0, 1).
    """
    predicted = probabilities.argmax(axis=1)
    wrong, classes = predicted != labels, range(probabilities.shape[1])
    return Selected(
        share(answered, np.ones(len(labels), dtype=bool), groups, confidence),
        share(wrong, answered, groups, confidence),
        [share(answered, labels == each, groups, confidence) for each in classes],
        [share(wrong, answered & (labels == each), groups, confidence) for each in classes],
        [share(wrong, answered & (predicted == each), groups, confidence) for each in classes],
    )


def risk_coverage(scores: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """The risk–coverage curve: columns score, coverage and risk, from the surest image to all of them.

    A row for each distinct score; of more than `POINTS`, the first and `POINTS` at even steps of coverage. Images of
    one score are answered together.

    Args:
        scores: float (N,), N ≥ 1.
        correct: bool (N,), whether the answer is right.
    """
    score, answered, wrong = _cumulative(scores, correct)
    if len(score) > POINTS:
        steps = np.searchsorted(answered, np.linspace(0, len(scores), POINTS + 1)[1:].round())
        steps = np.unique(np.append(0, steps))
        score, answered, wrong = score[steps], answered[steps], wrong[steps]
    return pd.DataFrame({"score": score, "coverage": answered / len(scores), "risk": wrong / answered}).round(DIGITS)


def area(scores: np.ndarray, correct: np.ndarray) -> float:
    """Area under the risk–coverage curve (AURC; Geifman, Uziel & El-Yaniv 2019): the mean risk over the N coverages.

    In [0, 1], lower is better: 0 where no answer is wrong, and the error rate where scores say nothing. Images of one
    score are answered together. scores: float (N,), N ≥ 1. correct: bool (N,).
    """
    _, answered, wrong = _cumulative(scores, correct)
    return float((np.diff(answered, prepend=0) * (wrong / answered)).sum() / len(scores))


def _cumulative(scores: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct scores from the highest, how many images have at least each, and how many of those are wrong."""
    order = np.argsort(-scores, kind="stable")
    score = scores[order]
    last = np.append(score[1:] != score[:-1], True)
    return score[last], (np.arange(len(score)) + 1)[last], (~correct[order]).cumsum()[last]
