"""SMOTE (Chawla et al. 2002): more rows of scarce or hard classes, each between a row and a near one of its class."""

from collections.abc import Sequence

import numpy as np

from fakeprint.blocks import Rows
from fakeprint.errors import InputError
from fakeprint.params import class_index, suggestion

NEIGHBOURS = 5  # of which one is drawn for each new row, as published
MEMORY = 2 * 2**30  # bytes of train features that SMOTE may hold


def factors_of(smote: str | dict[str | int, float], classes: Sequence[str]) -> dict[int, float] | None:
    """What a classifier's `smote` says, by class index; None for "balanced".

    smote: "balanced" or {label: factor}. classes: labels in the order of their indices. Raises InputError for a label
    that is not there.
    """
    if not isinstance(smote, dict):
        return None
    factors = {}
    for label, factor in smote.items():
        index = class_index(label, classes)
        if index is None:
            raise InputError(f"classifiers: smote: there is no class '{label}'{suggestion(str(label), classes)}")
        factors[index] = factor
    return factors


def oversampled(
    x: Rows, y: np.ndarray, fold: np.ndarray, factors: dict[int, float] | None, seed: int
) -> tuple[Rows, np.ndarray, np.ndarray]:
    """The rows and, after them, new ones; their classes; and their folds.

    x: float32 (N, D), scaled as the classifier takes them, so that distances are those that it sees. y: int (N,).
    fold: int (N,). A new row is between two rows of one fold and belongs to it, so that the others hold nothing of it.
    factors: class index → rows afterwards, as a multiple of those before, 1 or more; None: as many of each class as the
    largest has, fold by fold.
    Raises InputError if the rows take more than `MEMORY`, or a fold has one row of a class that needs more.
    """
    from imblearn.over_sampling import SMOTE

    if 4 * x.shape[0] * x.shape[1] > MEMORY:
        raise InputError(
            f"classifiers: smote cannot hold {len(x):,} rows of {x.shape[1]:,} features in memory, at most "
            f"{MEMORY // (4 * x.shape[1]):,}; set smote: none, or data.per_class"
        )
    held = x.whole()
    parts, labels, folds = [held], [y], [fold]
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        wanted, scarcest = _wanted(y[rows], factors)
        if not wanted:
            continue
        if scarcest < 2:
            raise InputError("classifiers: smote needs 2 rows of each class that it adds to, in every fold of train")
        made = SMOTE(
            sampling_strategy=wanted, k_neighbors=min(NEIGHBOURS, scarcest - 1), random_state=seed
        ).fit_resample(held[rows], y[rows])
        parts.append(made[0][len(rows) :])
        labels.append(made[1][len(rows) :])
        folds.append(np.full(len(labels[-1]), number, fold.dtype))
    return Rows(tuple((part,) for part in parts)), np.concatenate(labels), np.concatenate(folds)


def _wanted(y: np.ndarray, factors: dict[int, float] | None) -> tuple[dict[int, int], int]:
    """Class index → number of rows afterwards, for classes that grow; and the smallest number that one of them has."""
    counts = {int(each): int(count) for each, count in zip(*np.unique(y, return_counts=True), strict=True)}
    most = max(counts.values())
    wanted = {
        each: most if factors is None else round(count * factors.get(each, 1.0)) for each, count in counts.items()
    }
    growing = {each: count for each, count in wanted.items() if count > counts[each]}
    return growing, min((counts[each] for each in growing), default=0)
