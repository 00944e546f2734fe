"""A fitted classifier with what describes it, saved and loaded.

scikit-learn, whose import takes a second or two, is imported by the functions that need it; k-NN does not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeprint import params
from fakeprint.blocks import Rows
from fakeprint.errors import InputError
from fakeprint.models.classifiers.neighbours import Neighbours, load_neighbours, save_neighbours
from fakeprint.models.classifiers.scaling import as_fitted
from fakeprint.models.description import RESTORE, dataset_of, read_description, write_description

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class FittedClassifier:
    """A fitted classifier and its model.json, with all that is needed to turn an image into features."""

    model: "Pipeline | Neighbours"
    description: dict[str, Any]

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """Feature set name → options, in the order in which they are concatenated."""
        sets: dict[str, dict[str, Any]] = self.description["features"]
        return sets

    def probabilities(self, x: np.ndarray | Rows) -> np.ndarray:
        """Class probabilities, float64 (N, C), of concatenated features x, float32 (N, D), read block by block.

        Raises InputError where the model was fitted on another number of features.
        """
        model = self.model
        width = model.rows.shape[1] if isinstance(model, Neighbours) else model.n_features_in_
        if len(x) and x.shape[1] != width:
            raise InputError(
                f"{self.description['name']} takes {width:,} features, but the sets in its model.json give "
                f"{x.shape[1]:,}: {RESTORE}"
            )
        probabilities = np.zeros((len(x), len(self.description["dataset"]["classes"])))
        for place, block in as_fitted(Rows.of(x), self.description["settings"]["scale"]).blocks():
            probabilities[place] = self.model.predict_proba(block)
        return probabilities


def save_classifier(folder: Path, fitted: FittedClassifier) -> None:
    """Write model.json and classifier.skops, or for k-NN its arrays as .npy, into an existing folder."""
    if isinstance(fitted.model, Neighbours):
        save_neighbours(folder, fitted.model)
    else:
        from fakeprint.models.classifiers.skops_files import save_pipeline

        save_pipeline(folder / "classifier.skops", fitted.model)
    write_description(folder, "classifier", fitted.description)


def load_classifier(folder: Path) -> FittedClassifier:
    """Read what `save_classifier` wrote. Raises InputError for missing, damaged or foreign content."""
    description = read_description(folder, "classifier")
    dataset = dataset_of(folder, description)
    try:
        settings, _, classes = description["settings"], description["features"].items(), len(dataset.classes)
        method, _ = settings["method"], settings["scale"].startswith
        chosen = (description["chosen"]["metric"], description["chosen"]["k"]) if method == "knn" else None
    except (AttributeError, KeyError, TypeError):
        raise InputError(
            f"{folder / 'model.json'} does not describe a classifier of this version: run `dvc repro`, or "
            f"`dvc checkout --force {folder}`"
        ) from None
    if chosen:
        return FittedClassifier(load_neighbours(folder, *chosen, classes), description)
    from fakeprint.models.classifiers.skops_files import load_pipeline

    return FittedClassifier(load_pipeline(folder / "classifier.skops", classes), description)


def describe(
    name: str,
    settings: params.AnyClassifier,
    model: "Pipeline | Neighbours",
    features: dict[str, dict[str, Any]],
    dataset: dict[str, Any],
) -> dict[str, Any]:
    """The content of model.json. features: set name → options; dataset: the fields of `data.arrays.Dataset`."""
    description = {
        "name": name,
        "settings": settings.model_dump(),
        "features": features,
        "dataset": dataset,
    }
    if isinstance(model, Neighbours):
        description["chosen"] = {"metric": model.metric, "k": model.k}
    return description
