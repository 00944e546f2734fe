"""Fingerprints of classes: mean residual images, and an image's correlation with each.

Marra, Gragnaniello, Verdoliva and Poggi, "Do GANs leave artificial fingerprints?", MIPR 2019, after Lukáš, Fridrich and
Goljan, "Digital camera identification from sensor pattern noise", 2006.
"""

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from fakeprint.blocks import Rows
from fakeprint.models.classifiers.linear import LinearMachine

Folds = list[tuple[np.ndarray, np.ndarray]]


class FingerprintClassifier(ClassifierMixin, BaseEstimator):
    """Multinomial logistic regression on the correlations of a residual image with the mean residual of each class.

    The regression is fitted on train images. An image's own residual must not be in the fingerprints that it is
    correlated with, or it would correlate with its class even if there were no pattern. So the images of each fold are
    correlated with fingerprints of the other folds; groups (near duplicates, copies and their originals) lie in one
    fold. The stored fingerprints, with which new images are correlated, are means over all train images: with 10 folds,
    over a ninth more than those that the regression was fitted with.

    Two passes over blocks of rows; memory holds one mean per fold and class. C: inverse strength of the regression's
    regularisation, on correlations standardised over train. Attributes: `fingerprints_`, float32 (K, D), the class
    means; `counts_`, int64 (K,), their number of images; `mean_` and `scale_`, float64 (K,), of the correlations;
    `machine_`, the regression.
    """

    def __init__(self, C: float = 1.0):
        self.C = C

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, folds: Folds) -> Self:
        """Fit on residual images x, float32 (N, D), and class indices y (N,); folds: rows fitted on and held out.

        Every row is held out in one fold, and the rows of a fold that are fitted on hold all classes.
        """
        rows = Rows.of(x)
        self.n_features_in_ = rows.shape[1]
        self.classes_, y = np.unique(y, return_inverse=True)
        classes = len(self.classes_)
        fold = np.empty(len(y), dtype=np.int64)
        for number, (_, held_out) in enumerate(folds):
            fold[held_out] = number
        sums, counts = class_sums(rows, fold * classes + y, len(folds) * classes)
        sums, counts = sums.reshape(len(folds), classes, -1), counts.reshape(len(folds), classes)
        total, self.counts_ = sums.sum(axis=0), counts.sum(axis=0)
        self.fingerprints_ = (total / self.counts_[:, None]).astype(np.float32)
        for number in range(len(folds)):  # in place: from the sum of a fold to the mean of the others
            sums[number] = (total - sums[number]) / (self.counts_ - counts[number])[:, None]
        patterns, scores = unit(sums.reshape(-1, rows.shape[1])), np.empty((len(y), classes))
        for place, block in rows.blocks():
            every = (unit(block) @ patterns.T).reshape(len(block), len(folds), classes)
            scores[place] = every[np.arange(len(block)), fold[place]]
        self.mean_, deviation = scores.mean(axis=0), scores.std(axis=0)
        self.scale_ = np.where(deviation > 0, deviation, 1)
        self.machine_ = LinearMachine("log", self.C).fit(self._standard(scores), y)
        return self

    def correlations(self, x: np.ndarray) -> np.ndarray:
        """The correlation, −1 to 1, of each row with each class's fingerprint: float64 (N, K)."""
        return correlations(x, self.fingerprints_)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, K), of residual images, float32 (N, D)."""
        return self.machine_.predict_proba(self._standard(self.correlations(x)))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class of each row."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]

    def _standard(self, scores: np.ndarray) -> np.ndarray:
        return ((scores - self.mean_) / self.scale_).astype(np.float32)


def class_sums(rows: Rows, of: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the rows with each number 0 to count − 1, float64 (count, D), and how many there are, int64 (count,).

    of: int64 (N,), the number of each row; rows with a negative one are left out. One block of rows is in memory.
    """
    sums = np.zeros((count, rows.shape[1]))
    for place, block in rows.blocks():
        for number in np.unique(of[place][of[place] >= 0]):
            sums[number] += block[of[place] == number].sum(axis=0, dtype=np.float64)
    return sums, np.bincount(of[of >= 0], minlength=count)


def correlations(x: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """Normalised cross-correlation at shift 0 of each row x (N, D) with each pattern (P, D): float64 (N, P).

    The inner product of both after their mean is subtracted and their length made 1; 0 where one of them is constant.
    """
    return (unit(x) @ unit(patterns).T).astype(np.float64)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (N, D) without their mean, of length 1: float32; zeros where a row is constant."""
    centred = rows - rows.mean(axis=1, keepdims=True, dtype=np.float64).astype(rows.dtype)
    length = np.sqrt(np.einsum("ij,ij->i", centred, centred, dtype=np.float64))[:, None]
    varies = np.ptp(rows, axis=1, keepdims=True) > 0  # otherwise what is left is rounding
    return np.divide(centred, length, out=np.zeros(rows.shape, np.float32), where=varies, casting="same_kind")
