"""RBF-kernel SVM with calibrated probabilities: exact, or with an approximated kernel."""

import itertools
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.kernel_approximation import Nystroem
from sklearn.svm import SVC
from sklearn.utils import check_array

from fakeprint.blocks import Rows, write_rows
from fakeprint.errors import InputError
from fakeprint.models.classifiers.calibration import calibrated
from fakeprint.models.classifiers.linear import LinearMachine

EXACT_ROWS = 20_000  # `auto` is exact up to here; a fit on more rows takes minutes
MEMORY = 12e9  # bytes of kernel matrices: in classes of equal size, 33,000 rows of two, 73,100 of five
BATCH = 500  # rows per prediction
TOLERANCE = 1e-7  # of the linear machine on a Nystroem map, which is less exact than that
TILE = 1024  # rows whose kernels with a whole class are computed together
THREADS = 8  # at most: each takes some 0.5 GB

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class PairMachine:
    """The machine of two classes: row numbers of its support vectors, int (S,), their coefficients, intercept."""

    support: np.ndarray
    coefficients: np.ndarray
    intercept: float


class KernelSVM(ClassifierMixin, BaseEstimator):
    """scikit-learn's SVC with sigmoid calibration (Platt 1999), on precomputed kernel matrices.

    Calibration fits the SVM once per fold and once on all rows. libsvm computes the kernel row by row each time; as a
    matrix product it is about ten times faster for thousands of features, with the same results, and all fits share it.
    As in libsvm, each pair of classes has a machine of its own. Fitting them one by one needs the kernel of two classes
    in memory, not of all.

    C: as SVC's. gamma: as SVC's, "scale" being 1 / (D · variance) of all train rows. n_jobs: threads of `fit` that
    compute kernels, as joblib counts them; they do not change the result. Attributes: `support_rows_`,
    float32 (S, D), the support vectors of all pairs; `support_`, their row numbers in train; `coefficients_`, float64
    (S, P), and `intercepts_`, float64 (P,), of each pair, (0, 1), (0, 2), … (1, 2), …; `calibrator_`, which turns
    decision values into probabilities.
    """

    def __init__(self, C: float = 1.0, gamma: float | str = "scale", n_jobs: int | None = None):
        self.C = C
        self.gamma = gamma
        self.n_jobs = n_jobs

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, folds: Folds) -> Self:
        """Fit on x, float32 (N, D), and class indices y (N,); calibrated on the held-out parts of the folds.

        In memory are the rows of two classes, the kernel matrices of each class with itself and of one pair, float32,
        and the one of that pair that a fit takes, float64; afterwards the support vectors of one fit. Raises InputError
        if these matrices would take more than `MEMORY`.
        """
        rows = Rows.of(x)
        self.n_features_in_ = rows.shape[1]
        self.classes_, counts = np.unique(y, return_counts=True)
        if not has_room(counts):
            raise InputError(
                f"svm_rbf: the kernel matrices of {len(rows):,} train rows (copies included) would take "
                f"{_kernel_bytes(counts) / 1e9:.1f} GB, more than the {MEMORY / 1e9:.0f} GB allowed; set "
                "approximation: auto or nystroem"
            )
        self.gamma_ = _gamma(rows, self.gamma)
        classes = len(self.classes_)
        decisions = np.empty((len(y), 1 if classes == 2 else classes))
        with ThreadPoolExecutor(min(effective_n_jobs(self.n_jobs), THREADS)) as pool:
            *machines, machine = self._fit_pairs(rows, y, [*(train for train, _ in folds), np.arange(len(y))], pool)
            for (_, held_out), fold_machine in zip(folds, machines, strict=True):
                self._take(rows, fold_machine)

                def decide(part: slice, numbers: np.ndarray = held_out) -> None:
                    decisions[numbers[part]] = self._decisions(rows.at(numbers[part]).whole())

                _in_parts(pool, decide, len(held_out), BATCH)
        self._take(rows, machine)
        self.calibrator_ = calibrated(decisions, y)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, C). Raises ValueError if a number is not finite."""
        x = check_array(x, dtype=np.float32)
        blocks = (self._decisions(x[start : start + BATCH]) for start in range(0, len(x), BATCH))
        return np.concatenate([self.calibrator_.predict_proba(block) for block in blocks])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class of each row."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]

    def _fit_pairs(
        self, rows: Rows, y: np.ndarray, parts: list[np.ndarray], pool: ThreadPoolExecutor
    ) -> list[list[PairMachine]]:
        """For each of `parts`, row numbers to fit on: the machine of each pair of classes."""
        members = [np.flatnonzero(y == label) for label in self.classes_]
        within = [_kernel_within(rows.at(each).whole(), self.gamma_, pool) for each in members]
        machines: list[list[PairMachine]] = [[] for _ in parts]
        for one in range(len(members) - 1):
            one_rows = rows.at(members[one]).whole()
            for other in range(one + 1, len(members)):
                between = _kernel_between(one_rows, rows.at(members[other]).whole(), self.gamma_, pool)
                kernels = (within[one], within[other], between)
                for part, fitted in zip(parts, machines, strict=True):
                    fitted.append(_pair_machine(kernels, members[one], members[other], part, self.C))
        return machines

    def _take(self, rows: Rows, machines: list[PairMachine]) -> None:
        """Answer with these machines, fitted on some of the rows."""
        self.support_rows_ = np.empty((0, rows.shape[1]), np.float32)  # frees those of the machines before
        coefficients = np.zeros((len(rows), len(machines)))
        for column, machine in enumerate(machines):
            coefficients[machine.support, column] = machine.coefficients
        self.intercepts_ = np.array([machine.intercept for machine in machines])
        self.support_ = np.flatnonzero(coefficients.any(axis=1))
        self.coefficients_ = coefficients[self.support_]
        self.support_rows_ = rows.at(self.support_).whole()

    def _decisions(self, x: np.ndarray) -> np.ndarray:
        """Decision values as SVC's, float64 (n, C): one column for two classes, above 0 for the second."""
        kernel = _rbf(x, self.support_rows_, self.gamma_)
        values: np.ndarray = kernel.astype(np.float64) @ self.coefficients_ + self.intercepts_
        return values if len(self.classes_) == 2 else _one_per_class(values, len(self.classes_))


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
        self.n_features_in_ = rows.shape[1]
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
        """Class probabilities, float64 (N, C). Raises ValueError if a number is not finite."""
        return self.machine_.predict_proba(self._mapped(check_array(x, dtype=np.float32)))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class of each row."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]

    def _mapped(self, x: np.ndarray) -> np.ndarray:
        """float32 (N, components), as `Nystroem.transform` computes it, but without its detour over float64."""
        kernel = _rbf(x, self.map_.components_, self.map_.gamma)
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
    """The kernel's width; "scale" is 1 / (D · variance of all numbers), or 1 if all are equal, as SVC has it."""
    if gamma != "scale":
        return float(gamma)
    total = squares = 0.0
    for _, block in rows.blocks():
        total += float(block.sum(dtype=np.float64))
        squares += float(np.sum(np.square(block, dtype=np.float64)))
    count = rows.shape[0] * rows.shape[1]
    mean_square = squares / count
    variance = mean_square - (total / count) ** 2
    return 1 / (rows.shape[1] * variance) if variance > 1e-12 * mean_square else 1.0  # else it is rounding


def has_room(counts: np.ndarray) -> bool:
    """Whether an exact SVM on so many rows of each class, int (C,), takes at most `MEMORY`."""
    return _kernel_bytes(counts) <= MEMORY


def _kernel_bytes(counts: np.ndarray) -> int:
    """Most memory, in bytes, of kernel matrices and coefficients of an SVM on so many rows of each class."""
    one, other = sorted([0, *map(int, counts)])[-2:]
    pair = 8 * (one + other) ** 2 + 4 * one * other
    coefficients = 8 * int(counts.sum()) * (len(counts) * (len(counts) - 1) // 2)
    return pair + coefficients + 4 * int((counts.astype(np.int64) ** 2).sum())


def _kernel_within(rows: np.ndarray, gamma: float, pool: ThreadPoolExecutor) -> np.ndarray:
    """The kernel matrix of rows, float32 (n, D), as float32 (n, n); each half is computed once and mirrored."""
    matrix = np.empty((len(rows),) * 2, np.float32)

    def fill(tile: slice) -> None:
        matrix[tile.start :, tile] = _rbf(rows[tile.start :], rows[tile], gamma)
        matrix[tile, tile.start :] = matrix[tile.start :, tile].T

    _in_parts(pool, fill, len(rows), TILE)
    np.fill_diagonal(matrix, 1)
    return matrix


def _kernel_between(first: np.ndarray, second: np.ndarray, gamma: float, pool: ThreadPoolExecutor) -> np.ndarray:
    """The kernel matrix, float32 (n, m), of rows of one class, float32 (n, D), with those of another, (m, D)."""
    matrix = np.empty((len(first), len(second)), np.float32)

    def fill(tile: slice) -> None:
        matrix[:, tile] = _rbf(first, second[tile], gamma)

    _in_parts(pool, fill, len(second), TILE)
    return matrix


def _in_parts(pool: ThreadPoolExecutor, work: Callable[[slice], None], count: int, size: int) -> None:
    """Do the work on `count` rows, `size` of them at a time, in the threads of the pool."""
    for _ in pool.map(work, [slice(start, min(start + size, count)) for start in range(0, count, size)]):
        pass  # raises what a part raised


def _pair_machine(
    kernels: tuple[np.ndarray, np.ndarray, np.ndarray], one: np.ndarray, other: np.ndarray, part: np.ndarray, C: float
) -> PairMachine:
    """Fit the machine of two classes on the rows in `part`. Its kernel matrix is freed on return.

    kernels: the matrices of each class with itself and of the first with the other. one, other, part: row numbers.
    """
    first, second = (np.flatnonzero(np.isin(members, part)) for members in (one, other))
    split = len(first)
    kernel = np.empty((split + len(second),) * 2)
    _copy_chosen(kernel[:split, :split], kernels[0], first, first)
    _copy_chosen(kernel[split:, split:], kernels[1], second, second)
    _copy_chosen(kernel[:split, split:], kernels[2], first, second)
    kernel[split:, :split] = kernel[:split, split:].T
    machine = SVC(kernel="precomputed", C=C).fit(kernel, np.repeat([0, 1], [split, len(second)]))
    support = np.concatenate([one[first], other[second]])[machine.support_]
    return PairMachine(support, machine.dual_coef_[0], machine.intercept_[0])


def _copy_chosen(target: np.ndarray, matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    """Set target to matrix[np.ix_(rows, columns)], row by row: ten times as fast for thousands of columns."""
    for place, row in enumerate(rows):
        target[place] = matrix[row].take(columns)


def _rbf(rows: np.ndarray, others: np.ndarray, gamma: float) -> np.ndarray:
    """exp(−gamma ‖row − other‖²), float32 (n, m). scikit-learn's converts to float64 first, which is half as fast."""
    lengths, other_lengths = (np.einsum("ij,ij->i", each, each) for each in (rows, others))
    distances = lengths[:, None] - 2 * (rows @ others.T) + other_lengths
    return np.exp(-gamma * np.maximum(distances, 0, out=distances), out=distances)


def _one_per_class(values: np.ndarray, classes: int) -> np.ndarray:
    """Decision values of pairs, float64 (n, P), as one per class, float64 (n, C), as scikit-learn's SVC gives them.

    Each is the number of pairs that a class wins, plus the sum of its decision values, scaled into ±1/3.
    """
    votes, sums = np.zeros((len(values), classes)), np.zeros((len(values), classes))
    for column, (one, other) in enumerate(itertools.combinations(range(classes), 2)):
        value = values[:, column]
        votes[:, one] += value <= 0
        votes[:, other] += value > 0
        sums[:, one] -= value
        sums[:, other] += value
    return votes + sums / (3 * (np.abs(sums) + 1))
