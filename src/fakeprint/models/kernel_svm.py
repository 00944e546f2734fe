"""RBF-kernel SVM with calibrated probabilities, all its fits sharing one kernel matrix."""

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from fakeprint.errors import InputError

MOST_ROWS = 32_000  # their kernel matrix takes 8 GB
BATCH = 1000  # rows answered at once

Folds = list[tuple[np.ndarray, np.ndarray]]


class KernelSVM(ClassifierMixin, BaseEstimator):
    """scikit-learn's SVC and its calibration (Platt 1999) on a kernel matrix that is computed once.

    Calibration fits the SVM once a fold and once on everything. libsvm computes the kernel anew each time, row by row;
    one matrix product for all fits is some ten times faster on thousands of features. The answers are the same.

    C: as SVC's. gamma: as SVC's, "scale" being 1 / (D · variance) of all train rows. Attributes: `support_rows_`,
    float32 (S, D), the train rows that some class boundary rests on; `support_`, where they stood in train; `svm_`,
    the calibrated SVM.
    """

    def __init__(self, C: float = 1.0, gamma: float | str = "scale"):
        self.C = C
        self.gamma = gamma

    def fit(self, x: np.ndarray, y: np.ndarray, folds: Folds) -> Self:
        """Fit on x, float64 (N, D), and class indices y (N,); calibrated on the held-out parts of the folds.

        Raises InputError where the kernel matrix would take more than 8 GB.
        """
        if len(x) > MOST_ROWS:
            raise InputError(
                f"svm_rbf: {len(x)} train rows, copies included, are more than the {MOST_ROWS} whose kernel matrix "
                "fits in memory; set augmented: false, or data.per_class"
            )
        self.gamma_ = 1 / (x.shape[1] * x.var()) if self.gamma == "scale" else float(self.gamma)
        machine = CalibratedClassifierCV(SVC(kernel="precomputed", C=self.C), cv=folds, ensemble=False)
        self.svm_ = machine.fit(rbf_kernel(x, gamma=self.gamma_), y)
        self.svm_.set_params(cv=len(folds))  # the folds themselves are not worth storing
        self.classes_ = self.svm_.classes_
        self.support_ = np.sort(self.svm_.calibrated_classifiers_[0].estimator.support_)
        self.support_rows_ = x[self.support_].astype(np.float32)
        self.train_rows_ = len(x)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, C)."""
        return np.concatenate([self._answer(x[start : start + BATCH]) for start in range(0, len(x), BATCH)])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class of each row."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]

    def _answer(self, x: np.ndarray) -> np.ndarray:
        # libsvm looks up the columns of support vectors alone, by their place among all train rows.
        kernel = np.zeros((len(x), self.train_rows_))
        kernel[:, self.support_] = rbf_kernel(x, self.support_rows_, gamma=self.gamma_)
        return self.svm_.predict_proba(kernel)
