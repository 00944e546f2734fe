"""Linear discriminant analysis with shrunk covariance, in two passes over blocks of rows, however many there are."""

from typing import Self

import numpy as np
import scipy.linalg
import scipy.special
from sklearn.base import BaseEstimator, ClassifierMixin

from fakeprint.blocks import Rows
from fakeprint.errors import InputError
from fakeprint.models.classifiers.scaling import fitted_scaler

MEMORY = 12e9  # bytes of square matrices of the features: 24,494 of them


class ShrinkageLDA(ClassifierMixin, BaseEstimator):
    """What scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr", shrinkage=…)` computes, some ten times faster.

    Per class one pass for means and deviations and one for the covariance: products of blocks in single precision,
    their sum in double. Memory holds three square matrices of the features, at most `MEMORY`, and one block.
    scikit-learn holds all rows, forms two more products for the shrinkage (Ledoit and Wolf 2004), and solves by
    singular values where Cholesky will do.

    shrinkage: "auto" (Ledoit and Wolf's, one per class) or 0–1; 0 needs more images than features. Attributes: `coef_`,
    float64 (C, D), and `intercept_`, float64 (C,).
    """

    def __init__(self, shrinkage: float | str = "auto"):
        self.shrinkage = shrinkage

    def fit(self, x: np.ndarray | Rows, y: np.ndarray) -> Self:
        """Fit on x, float32 (N, D), and class indices y (N,).

        Raises InputError where Cholesky's decomposition finds the covariance singular, or it does not fit in memory.
        """
        rows = Rows.of(x)
        self.classes_, counts = np.unique(y, return_counts=True)
        priors = counts / len(y)
        size = self.n_features_in_ = rows.shape[1]
        if 20 * size**2 > MEMORY:  # two matrices of float64, one of float32
            raise InputError(
                f"lda: the covariance of {size:,} features would take {20 * size**2 / 1e9:.0f} GB, more than the "
                f"{MEMORY / 1e9:.0f} GB allowed; take fewer features, or logistic or svm_linear"
            )
        means, covariance = np.empty((len(priors), size)), np.zeros((size, size))
        for number, (each, prior) in enumerate(zip(self.classes_, priors, strict=True)):
            members = rows.at(np.flatnonzero(y == each))
            scaler = fitted_scaler(members)
            means[number] = scaler.mean_
            deviation = scaler.scale_ if self.shrinkage == "auto" else np.ones(size)  # 1 where a feature is constant
            of_class = self._shrunk_covariance(members, means[number], deviation)
            of_class *= prior
            covariance += of_class
            del of_class  # before the next one is made
        try:
            self.coef_ = scipy.linalg.solve(covariance, means.T, assume_a="pos", overwrite_a=True).T
        except np.linalg.LinAlgError:
            remedy = "a number above 0" if self.shrinkage == "auto" else "auto, or higher"
            raise InputError(
                f"lda: with shrinkage: {self.shrinkage}, the covariance of {size} features from {len(y)} train rows is "
                f"singular (some features depend on others, or there are too few rows); set shrinkage to {remedy}"
            ) from None
        self.intercept_ = np.log(priors) - 0.5 * np.sum(means * self.coef_, axis=1)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, C)."""
        return scipy.special.softmax(x @ self.coef_.T + self.intercept_, axis=1)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class of each row."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]

    def _shrunk_covariance(self, rows: Rows, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Covariance of rows (n, D) about their mean, shrunk towards equal variances; with "auto", after standardising.

        Ledoit and Wolf's shrinkage needs Σ ‖row‖⁴ beside the covariance, not a second matrix product.
        """
        n, size = rows.shape
        covariance, fourth = np.zeros((size, size)), 0.0
        for _, block in rows.blocks():
            standard = ((block - mean) / deviation).astype(np.float32)
            covariance += standard.T @ standard
            fourth += float(np.sum(np.einsum("ij,ij->i", standard, standard, dtype=np.float64) ** 2))
        covariance /= n
        variance = np.trace(covariance) / size
        automatic = self.shrinkage == "auto"
        shrinkage = ledoit_wolf(n, covariance, variance, fourth / n) if automatic else float(self.shrinkage)
        covariance *= 1 - shrinkage
        covariance.flat[:: size + 1] += shrinkage * variance
        covariance *= deviation[:, None]
        covariance *= deviation
        return covariance


def ledoit_wolf(n: int, covariance: np.ndarray, variance: float, fourth: float) -> float:
    """Ledoit and Wolf's shrinkage, 0–1: the covariance's noise as a share of its distance from equal variances.

    variance: the covariance's mean diagonal. fourth: mean ‖row‖⁴ of the n rows.
    """
    squared = float(np.vdot(covariance, covariance))
    spread = squared - len(covariance) * variance**2
    noise = (fourth - squared) / n
    return min(noise, spread) / spread if spread > 0 else 0.0
