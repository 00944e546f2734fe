"""Linear models with the usual objectives, minimised in passes over blocks of rows, for any number of rows."""

import sys
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import LinearSVC

from fakeprint.blocks import Rows
from fakeprint.models.classifiers.calibration import calibrated

MOST_COUPLED = 10_000  # columns; for more the preconditioner is diagonal, since the full matrix takes 0.8 GB here
CORRECTIONS = 20  # pairs of steps and gradients that L-BFGS stores
TOLERANCE = 1e-10  # relative change of the objective in the last step
MOST_PASSES = 2000

Folds = list[tuple[np.ndarray, np.ndarray]]

# Scores float64 (n, K) and targets → losses, (n, K) or (n, 1), and their derivatives (n, K).
Loss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class LinearMachine(ClassifierMixin, BaseEstimator):
    """½ ‖W‖² + C Σ loss, as scikit-learn's LogisticRegression and LinearSVC have it, by L-BFGS (Liu and Nocedal 1989).

    Those hold all rows in double precision, again for each fold; this one reads blocks. The second moments of all
    rows, from one pass, precondition the steps, so that a few dozen passes are enough; the models of all folds are
    fitted in the same passes. Products are in float32, sums of blocks in float64.

    loss: "log" (multinomial, binary for two classes; the intercept is not regularised, as in LogisticRegression), or
    "squared_hinge" or "hinge" (each class against the others; the intercept is regularised, as in LinearSVC), whose
    decision values are calibrated by folds (Platt 1999). The hinge is not differentiable, so LinearSVC itself minimises
    it, with all rows in memory; seed: for its order of rows. Attributes: `coef_`, float64 (K, D), and `intercept_`,
    float64 (K,); K is the number of classes, or 1 for two classes.
    """

    def __init__(self, loss: str = "log", C: float = 1.0, seed: int = 0):
        self.loss = loss
        self.C = C
        self.seed = seed

    def fit(
        self, x: np.ndarray | Rows, y: np.ndarray, folds: Folds | None = None, tolerance: float = TOLERANCE
    ) -> Self:
        """Fit on x, float32 (N, D), and class indices y (N,); folds: rows fitted on and held out, for calibration.

        tolerance: ends when a step changes the objective by less, relative to it; not of the hinge.
        """
        rows = Rows.of(x)
        self.n_features_in_ = rows.shape[1]
        self.classes_, y = np.unique(y, return_inverse=True)
        held_out = np.full(len(y), -1)
        for number, (_, out) in enumerate(folds or []):
            held_out[out] = number
        machines = 1 + len(folds or [])
        if self.loss == "hinge":
            weights = _hinge_minimum(rows, y, held_out, machines, self.C, self.seed)
        else:
            weights = _minimum(rows, y, held_out, machines, len(self.classes_), self.loss, self.C, tolerance)
        self.coef_, self.intercept_ = weights[0, :, :-1], weights[0, :, -1]
        if folds:
            decisions = np.empty((len(y), weights.shape[1]))
            for place, block in rows.blocks():
                scores = _scores(block, weights)
                decisions[place] = scores[np.arange(len(block)), 1 + held_out[place]]
            self.calibrator_ = calibrated(decisions, y)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        """Scores, float64 (N, K)."""
        return x @ self.coef_.T + self.intercept_

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, C)."""
        scores = self.decision_function(x)
        if self.loss != "log":
            return self.calibrator_.predict_proba(scores)
        if scores.shape[1] == 1:
            scores = np.column_stack([np.zeros(len(scores)), scores])
        return scipy.special.softmax(scores, axis=1)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class of each row."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]


def _minimum(
    rows: Rows,
    y: np.ndarray,
    held_out: np.ndarray,
    machines: int,
    classes: int,
    loss: str,
    C: float,
    tolerance: float,
) -> np.ndarray:
    """The weights, float64 (machines, K, D + 1), the intercept last; model m > 0 is fitted without fold m − 1."""
    columns = 1 if classes == 2 else classes
    shape = (machines, columns, rows.shape[1] + 1)
    free = loss == "log"
    # The loss's curvature: p(1 − p) at equal probabilities; for the squared hinge 2, on half of the rows.
    curvature = C * (1 / classes) * (1 - 1 / classes) if free else C
    to_weights = _preconditioner(rows, curvature, 1e-6 if free else 1.0)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = to_weights(flat.reshape(-1, shape[2]), False).reshape(shape)
        penalised = weights[..., :-1] if free else weights
        total, gradient = 0.5 * float(np.vdot(penalised, penalised)), weights.copy()
        if free:
            gradient[..., -1] = 0
        for place, block in rows.blocks():
            losses, slopes = _LOSSES[loss](_scores(block, weights), y[place])
            counts = held_out[place][:, None] != np.arange(-1, machines - 1)
            counts[:, 0] = True
            total += C * float(np.sum(losses * counts[..., None]))
            slopes = (C * slopes * counts[..., None]).reshape(len(block), -1)
            gradient[..., :-1] += (slopes.astype(np.float32).T @ block).reshape(machines, columns, -1)
            gradient[..., -1] += slopes.sum(axis=0).reshape(machines, columns)
        return total, to_weights(gradient.reshape(-1, shape[2]), True).ravel()

    options = {"maxcor": CORRECTIONS, "ftol": tolerance, "gtol": 0.0, "maxiter": MOST_PASSES, "maxfun": 2 * MOST_PASSES}
    start: Any = np.zeros(shape).ravel()
    found = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)  # type: ignore[call-overload]
    if found.status == 1:
        print(
            f"warning: {loss} did not converge in {MOST_PASSES} passes; scale the features or lower C",
            file=sys.stderr,
        )
    return to_weights(found.x.reshape(-1, shape[2]), False).reshape(shape)


def _hinge_minimum(rows: Rows, y: np.ndarray, held_out: np.ndarray, machines: int, C: float, seed: int) -> np.ndarray:
    """As `_minimum`, for the hinge loss, by liblinear."""
    x = rows.whole(np.float64)
    found = []
    for machine in range(machines):
        fitted_on = slice(None) if machine == 0 else held_out != machine - 1
        svm = LinearSVC(C=C, loss="hinge", max_iter=20_000, random_state=seed).fit(x[fitted_on], y[fitted_on])
        found.append(np.column_stack([svm.coef_, svm.intercept_]))
    return np.stack(found)


def _scores(block: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float64 (n, machines, K) of rows float32 (n, D)."""
    flat = weights.reshape(-1, weights.shape[2])
    scores = (block @ flat[:, :-1].T.astype(np.float32)).astype(np.float64) + flat[:, -1]
    return scores.reshape(len(block), *weights.shape[:2])


def _log(scores: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if scores.shape[2] == 1:
        signs = np.where(y == 1, 1.0, -1.0)[:, None, None]
        return np.logaddexp(0, -signs * scores), -signs * scipy.special.expit(-signs * scores)
    logs = scipy.special.log_softmax(scores, axis=2)
    slopes = np.exp(logs)
    rows = np.arange(len(y))
    slopes[rows, :, y] -= 1
    return -logs[rows, :, y][..., None], slopes


def _squared_hinge(scores: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    columns = scores.shape[2]
    of_class = y[:, None] == (np.arange(columns) if columns > 1 else [1])
    signs = np.where(of_class, 1.0, -1.0)[:, None, :]
    gaps = np.maximum(0, 1 - signs * scores)
    return gaps**2, -2 * signs * gaps


_LOSSES: dict[str, Loss] = {"log": _log, "squared_hinge": _squared_hinge}


def _preconditioner(rows: Rows, curvature: float, ridge: float) -> Callable[[np.ndarray, bool], np.ndarray]:
    """A function from steps to weights, (M, D + 1) each; if `transposed`, from gradients by weights to those by steps.

    The objective's second derivative is about H = I + curvature · Σ x xᵀ, x with a one appended; with H = L Lᵀ and
    weights = L⁻ᵀ steps it is about the identity. ridge: penalty of the intercept.
    """
    size = rows.shape[1] + 1
    coupled = size <= MOST_COUPLED
    penalty = np.ones(size)
    penalty[-1] = ridge

    def moments() -> np.ndarray:
        total = np.zeros((size, size) if coupled else size)
        for _, block in rows.blocks():
            extended = np.column_stack([block, np.ones(len(block), np.float32)])
            total += extended.T @ extended if coupled else np.einsum("ij,ij->j", extended, extended)
        total *= curvature
        return total

    if not coupled:
        scale = 1 / np.sqrt(moments() + penalty)
        return lambda given, transposed: given * scale

    def factor(share: float) -> np.ndarray:
        matrix = moments()
        matrix.flat[:: size + 1] += np.maximum(penalty, share * np.trace(matrix))
        return scipy.linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)

    try:
        lower = factor(0)
    except np.linalg.LinAlgError:  # dependent columns, and a C so large that the penalty is lost in rounding
        lower = factor(1e-6)

    def change(given: np.ndarray, transposed: bool) -> np.ndarray:
        solved = scipy.linalg.solve_triangular(lower, given.T, lower=True, trans=0 if transposed else 1)
        return np.ascontiguousarray(solved.T)

    return change
