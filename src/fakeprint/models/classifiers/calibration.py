"""Probabilities from decision values (Platt 1999), calibrated on rows that the model was not fitted on."""

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator


class Decisions(ClassifierMixin, BaseEstimator):
    """A classifier whose input rows are decision values already, (N, 1) for two classes or (N, C)."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Self:
        """Store the classes."""
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        """The rows themselves."""
        return x[:, 0] if x.shape[1] == 1 else x

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The class of the highest decision value; required by scikit-learn, but not called."""
        scores = self.decision_function(x)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]


def calibrated(decisions: np.ndarray, y: np.ndarray) -> CalibratedClassifierCV:
    """scikit-learn's sigmoid calibration; `predict_proba(decisions)` gives probabilities, float64 (N, C).

    decisions: float64 (N, 1) for two classes or (N, C), each row from a model that was fitted without it. y: class
    indices (N,).
    """
    machine = FrozenEstimator(Decisions().fit(decisions, y))
    return CalibratedClassifierCV(machine, method="sigmoid", cv=2, ensemble=False).fit(decisions, y)
