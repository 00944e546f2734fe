"""SMOTE: how many rows each class gets, between which, and that folds stay apart."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from fakeprint import params
from fakeprint.blocks import Rows
from fakeprint.errors import InputError
from fakeprint.models.classifiers import oversampling
from fakeprint.models.classifiers.files import FittedClassifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.models.classifiers.oversampling import factors_of, oversampled


def drawn(counts: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    return (rng.normal(size=(len(y), 4)) + 3 * y[:, None]).astype(np.float32), y


def test_balanced_gives_every_class_the_rows_of_the_largest() -> None:
    x, y = drawn((40, 10, 24))
    rows, labels, fold = oversampled(Rows.of(x), y, np.zeros(len(y), int), None, 0)
    assert np.bincount(labels).tolist() == [40, 40, 40]
    assert np.array_equal(rows.whole()[: len(y)], x) and np.array_equal(labels[: len(y)], y)
    assert len(rows) == len(labels) == len(fold)


def test_new_rows_are_between_two_of_their_class_and_fold() -> None:
    x, y = drawn((30, 12))
    fold = np.arange(len(y)) % 3
    rows, labels, folds = oversampled(Rows.of(x), y, fold, {1: 3.0}, 0)
    assert np.bincount(labels).tolist() == [30, 36]
    every = rows.whole()
    for new in range(len(y), len(labels)):
        parents = x[(y == labels[new]) & (fold == folds[new])]
        first, second = parents[:, None], parents[None]
        along, gone = second - first, every[new] - first
        length = (along**2).sum(-1)
        share = np.divide((gone * along).sum(-1), length, where=length > 0, out=np.zeros_like(length))
        away = np.abs(gone - share[..., None] * along).max(-1)
        assert ((away < 1e-4) & (share >= -1e-4) & (share <= 1 + 1e-4) & (length > 0)).any()


@pytest.mark.parametrize("method", ["lda", "svm_linear", "svm_rbf", "logistic", "boosting", "forest"])
def test_a_rare_class_is_found_more_often(method: str) -> None:
    """Two classes that overlap, one of them rare: without new rows it is seldom predicted."""
    common = {"method": method, "features": ["hsv_hist"], "scale": "standard", "augmented": False}
    own = {
        "lda": {"shrinkage": "auto"},
        "svm_linear": {"C": 0.1, "loss": "squared_hinge"},
        "svm_rbf": {"C": 1.0, "gamma": "scale", "approximation": "exact", "components": 9},
        "logistic": {"C": 1.0},
        "boosting": {"iterations": 20, "lr": 0.1, "leaves": 7, "rows": None},
        "forest": {"trees": 40, "rows": None},
    }[method]
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 30])
    x = (rng.normal(size=(330, 3)) + 1.2 * y[:, None]).astype(np.float32)
    recalls = []
    for smote in ("none", "balanced", {"b": 8.0}):
        block = TypeAdapter(params.AnyClassifier).validate_python({**common, **own, "smote": smote})
        model = fit(block, x, y, x, y, 0, 1, None, ["a", "b"])
        description = {"settings": block.model_dump(), "dataset": {"classes": ["a", "b"]}}
        queries = x + rng.normal(0, 0.3, x.shape).astype(np.float32)
        predicted = FittedClassifier(model, description).probabilities(queries).argmax(axis=1)
        recalls.append(float((predicted[y == 1] == 1).mean()))
    assert min(recalls[1:]) > recalls[0] + 0.1


def test_the_same_seed_gives_the_same_rows() -> None:
    x, y = drawn((30, 12))
    fold = np.zeros(len(y), int)
    first, again, other = (oversampled(Rows.of(x), y, fold, None, seed)[0].whole() for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_faults_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = drawn((30, 3))
    with pytest.raises(InputError, match=r"classifiers: smote: there is no class 'forth'; did you mean 'fourth'\?"):
        factors_of({"forth": 2.0}, ["third", "fourth"])
    with pytest.raises(
        InputError, match="classifiers: smote needs 2 rows of each class that it adds to, in every fold"
    ):
        oversampled(Rows.of(x), y, np.arange(len(y)) % 3, None, 0)
    monkeypatch.setattr(oversampling, "MEMORY", 160)
    with pytest.raises(InputError, match=r"smote cannot hold 33 rows of 4 features in memory, at most 10; set smote"):
        oversampled(Rows.of(x), y, np.zeros(len(y), int), None, 0)
