"""Fitting of classical classifiers, in passes over blocks of rows where the method allows it.

scikit-learn, whose import takes a second or two, is imported by the functions that need it; k-NN does not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeprint import params
from fakeprint.blocks import Rows
from fakeprint.errors import InputError, first_few
from fakeprint.folds import group_folds, groups_of_class
from fakeprint.models.classifiers.neighbours import Neighbours, fit_neighbours
from fakeprint.models.classifiers.scaling import as_fitted, fitted_scaler

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Folds = list[tuple[np.ndarray, np.ndarray]]  # rows to fit on, and rows held out

CALIBRATION_FOLDS = 3
CALIBRATION_DRAWS = 100
MEMORY = 3 * 2**30  # bytes of train features that trees may hold, which need all their rows in memory


def fit(
    settings: params.AnyClassifier,
    x_train: np.ndarray | Rows,
    y_train: np.ndarray,
    x_validation: np.ndarray | Rows,
    y_validation: np.ndarray,
    seed: int,
    workers: int | None = None,
    groups: np.ndarray | None = None,
    classes: Sequence[str] = (),
) -> "Pipeline | Neighbours":
    """Fit one classifier; scaling is fitted only on train, and only k-NN looks at validation (to choose k).

    x_train, x_validation: float32 (N, D), arrays or rows on disk, read block by block; y_train, y_validation: int64
    class indices from 0. groups: int64 (N,), equal for train rows that are not independent (near duplicates, a copy and
    its original), so that calibration never uses rows that the model was fitted on; None: each row is its own group.
    seed: for random draws; the number of workers does not change the result. classes: labels
    in the order of their indices, which `settings.smote` may name. Raises InputError if a class has too few
    train images, or none.
    """
    y_train = np.asarray(y_train, dtype=np.int64)
    groups = np.arange(len(y_train)) if groups is None else groups
    calibrates = settings.method in ("svm_linear", "svm_rbf", "fingerprint")
    _require_enough(y_train, groups, CALIBRATION_FOLDS if calibrates else 1, classes)
    standard = settings.scale in ("standard", "sqrt_standard")
    train, validation = (as_fitted(Rows.of(x), settings.scale) for x in (x_train, x_validation))
    if isinstance(settings, params.KNN):
        return fit_neighbours(train, y_train, validation, y_validation, settings.k, settings.metrics, standard)
    from sklearn.pipeline import Pipeline

    scaler = fitted_scaler(train) if standard else None
    if scaler:
        train = train.then(lambda block: scaler.transform(block, copy=False))
    count = settings.folds if isinstance(settings, params.Fingerprint) else CALIBRATION_FOLDS
    folds = _folds(y_train, groups, seed, count) if calibrates else []
    if isinstance(settings, params.Oversampled) and settings.smote != "none":
        train, y_train, folds = _with_new_rows(train, y_train, folds, settings.smote, classes, seed)
    if isinstance(settings, params.Boosting | params.Forest):
        estimator = _trees(settings, train, y_train, seed, workers)
    else:
        unfitted = _streamed(settings, train, y_train, seed, workers)
        estimator = unfitted.fit(train, y_train, **({"folds": folds} if calibrates else {}))
    if "n_jobs" in estimator.get_params():
        # The file must not depend on the workers, and threads would add the votes of a forest's trees in another order.
        estimator.set_params(n_jobs=None)
    return Pipeline([("scale", scaler)] * standard + [("classify", estimator)])


def _streamed(settings: Any, train: Rows, y: np.ndarray, seed: int, workers: int | None) -> Any:
    """An estimator, not fitted yet, that is fitted in passes over blocks of rows."""
    from fakeprint.models.classifiers.fingerprints import FingerprintClassifier
    from fakeprint.models.classifiers.kernel_svm import EXACT_ROWS, KernelSVM, NystroemSVM, has_room
    from fakeprint.models.classifiers.linear import LinearMachine
    from fakeprint.models.classifiers.shrinkage_lda import ShrinkageLDA

    match settings:
        case params.Logistic():
            return LinearMachine("log", settings.C)
        case params.LinearSVM():
            _require_room_for_hinge(settings, train)
            return LinearMachine(settings.loss, settings.C, seed)
        case params.LDA():
            return ShrinkageLDA(settings.shrinkage)
        case params.Fingerprint():
            return FingerprintClassifier(settings.C)
    assert isinstance(settings, params.RBFSVM)
    exact = settings.approximation == "auto" and len(train) <= EXACT_ROWS and has_room(np.bincount(y))
    if exact or settings.approximation == "exact":
        return KernelSVM(settings.C, settings.gamma, workers or -1)
    print(
        f"svm_rbf: {len(train):,} train rows, approximated by {settings.components:,} of them (approximation: nystroem)"
    )
    return NystroemSVM(settings.C, settings.gamma, settings.components, seed)


def _require_room_for_hinge(settings: params.LinearSVM, train: Rows) -> None:
    """Liblinear holds all rows in double precision, and again with column numbers: 24 bytes per number."""
    fit_in_memory = MEMORY // (24 * train.shape[1])
    if settings.loss == "hinge" and len(train) > fit_in_memory:
        raise InputError(
            f"classifiers: svm_linear with loss: hinge cannot hold {len(train):,} rows of {train.shape[1]:,} features, "
            f"at most {fit_in_memory:,}; set loss: squared_hinge, which reads blocks, or data.per_class"
        )


def _trees(
    settings: params.Boosting | params.Forest, train: Rows, y: np.ndarray, seed: int, workers: int | None
) -> Any:
    """Trees need all their rows in memory: as many as `settings.rows` or `MEMORY` allows, stratified by class."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    from fakeprint.models.classifiers.kernel_svm import drawn

    boosting = isinstance(settings, params.Boosting)
    # Boosting needs float64 and one byte for the bin of each number; a forest float32.
    fit_in_memory = MEMORY // (train.shape[1] * (9 if boosting else 4))
    most = min(settings.rows, len(y)) if settings.rows else fit_in_memory
    if most > fit_in_memory:
        raise InputError(
            f"classifiers: {settings.method} cannot hold {most:,} rows of {train.shape[1]:,} features in memory; set "
            f"rows to at most {fit_in_memory:,}, or to null"
        )
    chosen = drawn(y, most, seed)
    if len(chosen) < len(y):
        reason = "rows" if settings.rows else f"as many as {MEMORY // 2**30} GB hold"
        print(f"{settings.method}: fitted on {len(chosen):,} of {len(y):,} train rows, drawn by class ({reason})")
        train, y = train.at(chosen), y[chosen]
    if isinstance(settings, params.Boosting):
        return HistGradientBoostingClassifier(
            max_iter=settings.iterations,
            learning_rate=settings.lr,
            max_leaf_nodes=settings.leaves,
            early_stopping=False,
            random_state=seed,
        ).fit(train.whole(np.float64), y)
    return RandomForestClassifier(settings.trees, random_state=seed, n_jobs=workers or -1).fit(train.whole(), y)


def _with_new_rows(
    train: Rows, y: np.ndarray, folds: Folds, smote: str | dict[str | int, float], classes: Sequence[str], seed: int
) -> tuple[Rows, np.ndarray, Folds]:
    """The rows, their classes and folds with those of SMOTE, each of which is in the fold of its parents."""
    from fakeprint.models.classifiers.oversampling import factors_of, oversampled

    fold = np.zeros(len(y), dtype=np.int64)
    for number, (_, held_out) in enumerate(folds):
        fold[held_out] = number
    train, y, fold = oversampled(train, y, fold, factors_of(smote, classes), seed)
    return train, y, _pairs(fold, len(folds))


def _folds(y: np.ndarray, groups: np.ndarray, seed: int, count: int = CALIBRATION_FOLDS) -> Folds:
    """Stratified folds of whole groups: rows to fit on, of all classes, and rows held out.

    Groups of several classes may put all of one class into one fold: then the folds are drawn again.
    """
    rng = np.random.default_rng(seed)
    for _ in range(CALIBRATION_DRAWS):
        fold = group_folds(y, groups, count, rng)
        if min(groups_of_class(y, fold).values()) > 1:
            return _pairs(fold, count)
    raise InputError(
        "calibration: one fold would hold all images of a class, because groups of train images (near duplicates, "
        "data.group_column) stay together; use a classifier without calibration, or add images"
    )


def _pairs(fold: np.ndarray, count: int) -> Folds:
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(count)]


def _require_enough(y: np.ndarray, groups: np.ndarray, least: int, classes: Sequence[str]) -> None:
    number_of = groups_of_class(y, groups)
    if len(number_of) < 2:
        raise InputError(f"the train images have {len(number_of)} class(es); a classifier needs at least 2")
    count = max(len(classes), max(number_of) + 1)
    scarce = [each for each in range(count) if number_of.get(each, 0) < least]
    if scarce:
        named = first_few(classes[each] for each in scarce) if classes else f"index {first_few(scarce)}"
        needed = "1 train image" if least == 1 else f"{least} groups of train images (near duplicates are one)"
        raise InputError(f"class {named}: fewer than the {needed} this classifier needs")
