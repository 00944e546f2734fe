"""Probabilities from a machine's decision values (Platt 1999), by what it says of rows that it was not fitted on."""

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator


class Decisions(ClassifierMixin, BaseEstimator):
    """A machine that has answered already: its rows are decision values, (N,) of two classes or (N, C)."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Self:
        """Note the classes."""
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        """The rows themselves."""
        return x[:, 0] if x.shape[1] == 1 else x

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The class of the highest decision value; scikit-learn wants it there, and does not call it."""
        scores = self.decision_function(x)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]


def calibrated(decisions: np.ndarray, y: np.ndarray) -> CalibratedClassifierCV:
    """scikit-learn's sigmoid calibration; `predict_proba(decisions)` gives probabilities, float64 (N, C).

    decisions: float64 (N, 1) of two classes or (N, C), each row's from a machine that was fitted without it. y: class
    indices (N,).
    """
    machine = FrozenEstimator(Decisions().fit(decisions, y))
    return CalibratedClassifierCV(machine, method="sigmoid", cv=2, ensemble=False).fit(decisions, y)
