"""A classical classifier fitted anew on the feature files of the stage `features`."""

import numpy as np
import pandas as pd

from fakeprint import params, seeds
from fakeprint.blocks import Rows
from fakeprint.data.arrays import COPIES_INDEX, load_index
from fakeprint.features.files import load_features
from fakeprint.models.classifiers.files import FittedClassifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.models.classifiers.scaling import as_fitted, fitted_scaler
from fakeprint.params import Params
from fakeprint.refits.refit import Refit, Task
from fakeprint.verdict.largest_probability import of_probabilities
from fakeprint.verdict.unknown import Outputs


def refit_classifier(settings: Params, name: str, task: Task, features: bool) -> Refit:
    """See `refit`. Its features are the classifier's own, each standardised on the train images of the task."""
    block = _without_other_classes(settings.classifiers[name], task.classes)
    x, y, groups = _train_rows(block, task)
    validation = load_features([*block.features], "validation")
    known = np.flatnonzero(task.validation >= 0)
    seed = seeds.integer(settings.seed, task.purpose)
    held_out = (validation.at(known), task.validation[known])
    model = fit(block, x, y, *held_out, seed, settings.run.workers, groups, task.classes)
    description = {"settings": block.model_dump(), "dataset": {"classes": task.classes}}
    log = of_probabilities(FittedClassifier(model, description).probabilities(validation))
    if not features:
        return Refit(Outputs(log, has_logits=False), None, None, _nothing)
    own = np.flatnonzero(task.train >= 0)
    rows = as_fitted(load_features([*block.features], "train").at(own), block.scale)
    scaler = fitted_scaler(rows)

    def standard(part: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = scaler.transform(part, copy=False)
        return scaled

    labels = task.train[own]
    no_logits = np.zeros((len(own), len(task.classes)))  # nothing is fitted on those of train images
    train = Outputs(no_logits, rows.then(standard), has_logits=False)
    own_validation = as_fitted(validation, block.scale).then(standard)
    return Refit(Outputs(log, own_validation, has_logits=False), train, labels, _nothing)


def _train_rows(block: params.AnyClassifier, task: Task) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Features, classes and groups of the task's train images, and of their copies where the block says so."""
    sets = [*block.features]
    group = load_index("train")["group"].to_numpy()
    x, y, groups = load_features(sets, "train"), task.train, group
    if block.augmented:
        parents = pd.read_parquet(COPIES_INDEX)["parent_row"].to_numpy()
        x = x.above(load_features(sets, "augmented"))
        y, groups = np.concatenate([y, task.train[parents]]), np.concatenate([groups, group[parents]])
    own = np.flatnonzero(y >= 0)
    return x.at(own), y[own], groups[own]


def _nothing() -> None:
    """A fit takes minutes and keeps nothing to resume from."""


def _without_other_classes(block: params.AnyClassifier, classes: list[str]) -> params.AnyClassifier:
    """The settings without new rows of classes that are not part of the task."""
    if not isinstance(block, params.Oversampled) or not isinstance(block.smote, dict):
        return block
    kept = {label: factor for label, factor in block.smote.items() if str(label) in classes}
    return block.model_copy(update={"smote": kept or "none"})
