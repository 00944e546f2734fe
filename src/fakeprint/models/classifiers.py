"""Classical classifiers over concatenated features: one way to fit them, one to save and load them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from fakeprint import params
from fakeprint.errors import InputError, first_few
from fakeprint.files import read_json, write_json
from fakeprint.folds import group_folds, groups_of_class
from fakeprint.models.kernel_svm import KernelSVM
from fakeprint.models.neighbours import (
    Neighbours,
    fit_neighbours,
    load_neighbours,
    save_neighbours,
)
from fakeprint.models.shrinkage_lda import ShrinkageLDA
from fakeprint.models.skops_files import load_pipeline, save_pipeline

CALIBRATION_FOLDS = 3


@dataclass(frozen=True)
class ClassifierEntry:
    """One method that `classifiers` in params.yaml can name."""

    summary: str
    source: str


CLASSIFIERS: dict[str, ClassifierEntry] = {
    "knn": ClassifierEntry("k nearest neighbours, k and distance chosen on validation", "Cover and Hart 1967; faiss"),
    "logistic": ClassifierEntry("multinomial logistic regression", "scikit-learn LogisticRegression"),
    "svm_linear": ClassifierEntry("linear SVM with calibrated probabilities", "scikit-learn LinearSVC; Platt 1999"),
    "svm_rbf": ClassifierEntry("RBF-kernel SVM with calibrated probabilities", "scikit-learn SVC; Platt 1999"),
    "lda": ClassifierEntry("linear discriminant analysis, shrunk covariance", "Ledoit and Wolf 2004"),
    "boosting": ClassifierEntry("gradient boosting of histogram trees", "scikit-learn HistGradientBoostingClassifier"),
    "forest": ClassifierEntry("random forest", "Breiman 2001; scikit-learn RandomForestClassifier"),
}


@dataclass(frozen=True)
class FittedClassifier:
    """A fitted classifier and its model.json, which holds all it takes to turn an image into features."""

    model: Pipeline | Neighbours
    description: dict[str, Any]

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """Feature set name → options, in the order in which they are concatenated."""
        sets: dict[str, dict[str, Any]] = self.description["features"]
        return sets

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, C), of concatenated features x, float (N, D)."""
        if not len(x):
            return np.zeros((0, len(self.description["dataset"]["classes"])))
        return np.asarray(self.model.predict_proba(_rooted(x, self.description["settings"]["scale"])), dtype=np.float64)


def fit(
    settings: params.AnyClassifier,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_validation: np.ndarray,
    y_validation: np.ndarray,
    seed: int,
    workers: int | None = None,
    groups: np.ndarray | None = None,
) -> Pipeline | Neighbours:
    """Fit one classifier; scaling is fitted on train alone, and only k-NN looks at validation (to choose k).

    x_train, x_validation: float32 (N, D); y_train, y_validation: int64 class indices from 0. groups: int64 (N,), equal
    for train rows that belong together (near duplicates, a copy and its original), so that calibration never tests on
    what it fitted on; None: each row stands alone. seed: for what is drawn; the number of workers changes nothing.
    Raises InputError where a class has too few train images.
    """
    y_train = np.asarray(y_train, dtype=np.int64)
    groups = np.arange(len(y_train)) if groups is None else groups
    _require_enough(y_train, groups, CALIBRATION_FOLDS if settings.method in ("svm_linear", "svm_rbf") else 1)
    standard = settings.scale in ("standard", "sqrt_standard")
    x_train, x_validation = _rooted(x_train, settings.scale), _rooted(x_validation, settings.scale)
    if isinstance(settings, params.KNN):
        return fit_neighbours(x_train, y_train, x_validation, y_validation, settings.k, settings.metrics, standard)
    estimator = _BUILDERS[settings.method](settings, seed, workers)
    calibrated = isinstance(estimator, CalibratedClassifierCV)
    if calibrated:
        estimator.set_params(cv=_folds(y_train, groups, seed), n_jobs=workers or -1)
    pipeline = Pipeline([("scale", StandardScaler())] * standard + [("classify", estimator)])
    folds = {"classify__folds": _folds(y_train, groups, seed)} if isinstance(estimator, KernelSVM) else {}
    # One thread a fold, however many folds run at once: sums in another order would differ in the last bit.
    with threadpool_limits(1 if calibrated else None):
        pipeline.fit(x_train, y_train, **folds)
    if calibrated:  # what is stored holds neither the folds nor anything of this machine
        estimator.set_params(cv=CALIBRATION_FOLDS, n_jobs=None)
    if isinstance(estimator, RandomForestClassifier):
        estimator.set_params(n_jobs=None)  # threads would add the trees' votes in an order that changes the last bit
    return pipeline


def _logistic(settings: params.Logistic, seed: int, workers: int | None) -> LogisticRegression:
    return LogisticRegression(C=settings.C, max_iter=5000, random_state=seed)


def _svm_linear(settings: params.LinearSVM, seed: int, workers: int | None) -> CalibratedClassifierCV:
    machine = LinearSVC(C=settings.C, loss=settings.loss, max_iter=20_000, random_state=seed)
    return CalibratedClassifierCV(machine, ensemble=False)


def _svm_rbf(settings: params.RBFSVM, seed: int, workers: int | None) -> KernelSVM:
    return KernelSVM(C=settings.C, gamma=settings.gamma)


def _lda(settings: params.LDA, seed: int, workers: int | None) -> ShrinkageLDA:
    return ShrinkageLDA(shrinkage=settings.shrinkage)


def _boosting(settings: params.Boosting, seed: int, workers: int | None) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=settings.iterations,
        learning_rate=settings.lr,
        max_leaf_nodes=settings.leaves,
        early_stopping=False,
        random_state=seed,
    )


def _forest(settings: params.Forest, seed: int, workers: int | None) -> RandomForestClassifier:
    return RandomForestClassifier(settings.trees, random_state=seed, n_jobs=workers or -1)


_BUILDERS: dict[str, Callable[[Any, int, int | None], Any]] = {
    "logistic": _logistic,
    "svm_linear": _svm_linear,
    "svm_rbf": _svm_rbf,
    "lda": _lda,
    "boosting": _boosting,
    "forest": _forest,
}


def _rooted(x: np.ndarray, scale: str) -> np.ndarray:
    """X as float64, with `sqrt` in the scaling its square root (sign kept): histograms then compare as Hellinger's."""
    x = np.asarray(x, dtype=np.float64)
    return np.sign(x) * np.sqrt(np.abs(x)) if scale.startswith("sqrt") else x


def _folds(y: np.ndarray, groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds of whole groups: rows to fit on and rows held out."""
    fold = group_folds(y, groups, CALIBRATION_FOLDS, np.random.default_rng(seed))
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(CALIBRATION_FOLDS)]


def _require_enough(y: np.ndarray, groups: np.ndarray, least: int) -> None:
    number_of = groups_of_class(y, groups)
    if len(number_of) < 2:
        raise InputError(f"the train images show {len(number_of)} class(es); a classifier needs at least 2")
    scarce = [each for each in range(max(number_of) + 1) if number_of.get(each, 0) < least]
    if scarce:
        needed = "1 train image" if least == 1 else f"{least} groups of train images (near duplicates are one)"
        raise InputError(f"class index {first_few(scarce)}: fewer than the {needed} this classifier needs")


def save_classifier(folder: Path, fitted: FittedClassifier) -> None:
    """Write model.json and classifier.skops, or for k-NN its arrays as .npy, into an existing folder."""
    if isinstance(fitted.model, Neighbours):
        save_neighbours(folder, fitted.model)
    else:
        save_pipeline(folder / "classifier.skops", fitted.model)
    write_json(folder / "model.json", fitted.description)


def load_classifier(folder: Path) -> FittedClassifier:
    """Read what `save_classifier` wrote. Raises InputError for missing, damaged or foreign content."""
    if not (folder / "model.json").exists():
        raise InputError(f"{folder / 'model.json'} is missing: run `dvc repro` or `dvc checkout` first")
    description = read_json(folder / "model.json")
    if description.get("kind") != "classifier":
        raise InputError(f"{folder / 'model.json'} describes a {description.get('kind')}, not a classifier")
    if description["settings"]["method"] == "knn":
        chosen = description["chosen"]
        return FittedClassifier(load_neighbours(folder, chosen["metric"], chosen["k"]), description)
    return FittedClassifier(load_pipeline(folder / "classifier.skops"), description)


def describe(
    name: str,
    settings: params.AnyClassifier,
    model: Pipeline | Neighbours,
    features: dict[str, dict[str, Any]],
    dataset: dict[str, Any],
) -> dict[str, Any]:
    """The content of model.json. features: set name → options; dataset: the fields of `data.arrays.Dataset`."""
    description = {
        "kind": "classifier",
        "name": name,
        "settings": settings.model_dump(),
        "features": features,
        "dataset": dataset,
    }
    if isinstance(model, Neighbours):
        description["chosen"] = {"metric": model.metric, "k": model.k}
    return description
