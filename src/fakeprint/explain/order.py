"""Which images a page shows, in which order, and the pair of classes that is mistaken most."""

from dataclasses import dataclass

import numpy as np


def in_order(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Row numbers int64 (N,): mistakes first, the most confident one at the top; then the others, least certain first.

    probabilities: float64 (N, C); labels: class index of each, −1 where unknown. How certain an answer is, is the
    difference between the largest and the second largest probability. Equal ones in order of row number.
    """
    ranked = np.sort(probabilities, axis=1)
    margin = ranked[:, -1] - ranked[:, -2]
    mistaken = (labels >= 0) & (probabilities.argmax(axis=1) != labels)
    return np.lexsort((np.where(mistaken, -ranked[:, -1], margin), ~mistaken)).astype(np.int64)


@dataclass(frozen=True)
class HardestPair:
    """Two classes, and how often one was answered for the other.

    classes: their indices, the lower first. sizes: labelled images of each. mistakes: of the first answered as the
    second, and of the second answered as the first.
    """

    classes: tuple[int, int]
    sizes: tuple[int, int]
    mistakes: tuple[int, int]


def hardest_pair(labels: np.ndarray, answers: np.ndarray, count: int) -> HardestPair | None:
    """The pair with the largest share of images that were answered as the other class; None without any such mistake.

    labels, answers: class indices int (N,), of labelled images. count: number of classes. Of equal pairs the first.
    """
    confusion = np.bincount(labels * count + answers, minlength=count * count).reshape(count, count)
    sizes = confusion.sum(axis=1)
    best, share = None, 0.0
    for first in range(count):
        for second in range(first + 1, count):
            mistakes = (int(confusion[first, second]), int(confusion[second, first]))
            both = (int(sizes[first]), int(sizes[second]))
            if sum(mistakes) and sum(mistakes) / sum(both) > share:
                share = sum(mistakes) / sum(both)
                best = HardestPair((first, second), both, mistakes)
    return best
