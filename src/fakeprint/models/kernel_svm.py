"""RBF-kernel SVM with calibrated probabilities: exact, or with an approximated kernel."""

import tempfile
from pathlib import Path
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.kernel_approximation import Nystroem
from sklearn.svm import SVC

from fakeprint.blocks import Rows, write_rows
from fakeprint.errors import InputError
from fakeprint.models.calibration import calibrated
from fakeprint.models.linear import LinearMachine

EXACT_ROWS = 20_000  # `auto` is exact up to here: their kernel matrix takes 3.2 GB
MOST_ROWS = 32_000  # their kernel matrix takes 8 GB
BATCH = 500  # rows per prediction
TOLERANCE = 1e-7  # of the linear machine on a Nystroem map, which is less exact than that
TILE = 2048  # rows and columns of one block of the kernel matrix

Folds = list[tuple[np.ndarray, np.ndarray]]


class KernelSVM(ClassifierMixin, BaseEstimator):
    """scikit-learn's SVC with sigmoid calibration (Platt 1999), on precomputed kernel matrices.

    Calibration fits the SVM once per fold and once on all rows. libsvm computes the kernel row by row each time; as a
    matrix product it is about ten times faster for thousands of features, with the same results.

    C: as SVC's. gamma: as SVC's, "scale" being 1 / (D · variance) of all train rows. Attributes: `support_rows_`,
    float32 (S, D), the support vectors of all class boundaries; `support_`, their row numbers in train; `svm_`, the
    SVM; `calibrator_`, which turns its decision values into probabilities.
    """

    def __init__(self, C: float = 1.0, gamma: float | str = "scale"):
        self.C = C
        self.gamma = gamma

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, folds: Folds) -> Self:
        """Fit on x, float32 (N, D), and class indices y (N,); calibrated on the held-out parts of the folds.

        One kernel matrix, float64 (N, N), is in memory at a time. Raises InputError if it would take more than 8 GB.
        """
        rows = Rows.of(x)
        if len(rows) > MOST_ROWS:
            raise InputError(
                f"svm_rbf: the kernel matrix of {len(rows)} train rows (copies included) does not fit in memory (at "
                f"most {MOST_ROWS}); set approximation: auto or nystroem"
            )
        self.gamma_ = _gamma(rows, self.gamma)
        classes = len(np.unique(y))
        decisions = np.empty((len(y), 1 if classes == 2 else classes))
        for train, held_out in folds:
            machine = self._fitted(rows.at(train), y[train])
            support = rows.at(train[np.sort(machine.support_)]).whole()
            for place, block in rows.at(held_out).blocks(BATCH):
                decided = _decisions(machine, len(train), support, block, self.gamma_)
                decisions[held_out[place]] = decided.reshape(len(block), -1)
            del machine
        self.svm_ = self._fitted(rows, y)
        self.calibrator_ = calibrated(decisions, y)
        self.classes_ = self.svm_.classes_
        self.support_ = np.sort(self.svm_.support_)
        self.support_rows_ = rows.at(self.support_).whole()
        self.train_rows_ = len(rows)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, C)."""
        return np.concatenate([self._answer(x[start : start + BATCH]) for start in range(0, len(x), BATCH)])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class of each row."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]

    def _answer(self, x: np.ndarray) -> np.ndarray:
        decided = _decisions(self.svm_, self.train_rows_, self.support_rows_, x, self.gamma_)
        probabilities: np.ndarray = self.calibrator_.predict_proba(decided.reshape(len(x), -1))
        return probabilities

    def _fitted(self, rows: Rows, y: np.ndarray) -> SVC:
        return SVC(kernel="precomputed", C=self.C).fit(_kernel_matrix(rows, self.gamma_), y)


class NystroemSVM(ClassifierMixin, BaseEstimator):
    """A linear SVM on scikit-learn's Nystroem map of the RBF kernel (Williams and Seeger 2001): for any number of rows.

    The map's basis is `components` train rows, stratified by class, drawn by `random_state`. Mapped rows are kept in a
    temporary file of N · components · 4 bytes. C, gamma: as in `KernelSVM`; the linear machine minimises the
    squared hinge loss of each class against the others. Attributes: `map_`, `machine_`.
    """

    def __init__(self, C: float = 1.0, gamma: float | str = "scale", components: int = 2000, random_state: int = 0):
        self.C = C
        self.gamma = gamma
        self.components = components
        self.random_state = random_state

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, folds: Folds) -> Self:
        """Fit on x, float32 (N, D), and class indices y (N,); calibrated on the held-out parts of the folds."""
        rows = Rows.of(x)
        basis = drawn(y, self.components, self.random_state)
        self.map_ = Nystroem(gamma=_gamma(rows, self.gamma), n_components=len(basis), random_state=self.random_state)
        self.map_.fit(rows.at(basis).whole())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mapped.npy"
            write_rows(path, (len(rows), len(basis)), (self._mapped(block) for _, block in rows.blocks(4 * BATCH)))
            self.machine_ = LinearMachine("squared_hinge", self.C).fit(Rows(((path,),)), y, folds, TOLERANCE)
        self.classes_ = self.machine_.classes_
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, C)."""
        return self.machine_.predict_proba(self._mapped(x))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class of each row."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]

    def _mapped(self, x: np.ndarray) -> np.ndarray:
        """float32 (N, components), as `Nystroem.transform` computes it, but without its detour over float64."""
        kernel = _rbf(np.asarray(x, np.float32), self.map_.components_, self.map_.gamma)
        mapped: np.ndarray = kernel @ self.map_.normalization_.T.astype(np.float32, copy=False)
        return mapped


def drawn(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Row numbers of a random sample, ascending int64: at most `count` rows, stratified by class, at least one each."""
    if count >= len(y):
        return np.arange(len(y))
    rng = np.random.default_rng(seed)
    chosen = []
    for each in np.unique(y):
        members = np.flatnonzero(y == each)
        chosen.append(rng.permutation(members)[: max(1, int(count * len(members) / len(y)))])
    return np.sort(np.concatenate(chosen))


def _gamma(rows: Rows, gamma: float | str) -> float:
    """The kernel's width; "scale" is 1 / (D · variance of all numbers)."""
    if gamma != "scale":
        return float(gamma)
    total = squares = 0.0
    for _, block in rows.blocks():
        total += float(block.sum(dtype=np.float64))
        squares += float(np.sum(np.square(block, dtype=np.float64)))
    count = rows.shape[0] * rows.shape[1]
    return 1 / (rows.shape[1] * (squares / count - (total / count) ** 2))


def _kernel_matrix(rows: Rows, gamma: float) -> np.ndarray:
    """The kernel matrix, float64 (N, N); each pair of blocks is computed once and copied to its mirror position."""
    matrix = np.empty((len(rows), len(rows)))
    for place, block in rows.blocks(TILE):
        for other_place, other in rows.at(np.arange(place.start, len(rows))).blocks(TILE):
            columns = slice(place.start + other_place.start, place.start + other_place.stop)
            matrix[place, columns] = _rbf(block, other, gamma)
            matrix[columns, place] = matrix[place, columns].T
    np.fill_diagonal(matrix, 1)
    return matrix


def _rbf(rows: np.ndarray, others: np.ndarray, gamma: float) -> np.ndarray:
    """exp(−gamma ‖row − other‖²), float32 (n, m). scikit-learn's converts to float64 first, which is half as fast."""
    lengths, other_lengths = (np.einsum("ij,ij->i", each, each) for each in (rows, others))
    distances = lengths[:, None] - 2 * (rows @ others.T) + other_lengths
    return np.exp(-gamma * np.maximum(distances, 0, out=distances), out=distances)


def _decisions(machine: SVC, train_rows: int, support_rows: np.ndarray, x: np.ndarray, gamma: float) -> np.ndarray:
    """Decision values of rows x; libsvm reads only the columns of support vectors, by their row number in train."""
    kernel = np.zeros((len(x), train_rows))
    kernel[:, np.sort(machine.support_)] = _rbf(np.asarray(x, np.float32), support_rows, gamma)
    values: np.ndarray = machine.decision_function(kernel)
    return values
