"""Predictions of every model on validation images degraded by JPEG, noise, scaling, blur and other transforms.

Images are processed in batches: each is degraded once for all models, and its features are extracted once for all
classifiers that use a set with the same options. An ensemble combines its members' probabilities with the cross-fitted
combination of its validation predictions (`fakeprint.models.ensemble_fits`), so that no image, degraded or not, is
predicted by a combination that was fitted on it.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import delayed

from fakeprint.data.arrays import Dataset, WholeImages
from fakeprint.data.crops import Cropping, Crops, averaged, cropping_of
from fakeprint.degraded import BATCH, batch_size, degrade, random_numbers, rows_of
from fakeprint.evaluation.predictions import load_degraded_members, load_members
from fakeprint.features import extract
from fakeprint.models.description import read_description
from fakeprint.models.ensemble_fits import cross_fit
from fakeprint.models.ensembles import Members, members_that_run
from fakeprint.parallel import in_order
from fakeprint.params import Params, Predict
from fakeprint.predict import LoadedModel, load_model
from fakeprint.progress import track

if TYPE_CHECKING:
    from fakeprint.models.classifiers import FittedClassifier

CLASSIFIED = 8 * BATCH  # images whose features classifiers get in one call

SharedSet = tuple[str, str]  # a feature set and its options as JSON


@dataclass(frozen=True)
class Combined:
    """An ensemble: names of its members, and the function from their (N, M, C) probabilities to (N, C)."""

    members: list[str]
    combination: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Models:
    """The networks and classifiers by name, including members of ensembles.

    cropping: how they cut images; None where these have been resized.
    """

    networks: dict[str, LoadedModel]
    classifiers: dict[str, "FittedClassifier"]
    cropping: Cropping | None = None

    @property
    def feature_sets(self) -> list[SharedSet]:
        """Each feature set that a classifier needs, once per set of options."""
        return list(dict.fromkeys(shared for fitted in self.classifiers.values() for shared in _sets(fitted)))


def _sets(fitted: "FittedClassifier") -> list[SharedSet]:
    return [(name, json.dumps(options, sort_keys=True)) for name, options in fitted.features.items()]


def load_models(names: Iterable[str], tta: Predict, folder: Path) -> Models:
    """Load networks and classifiers `names` from models/; torch is imported for networks only.

    tta: the block `predict`: the networks' test-time augmentation, and how whole images are cut. Raises
    InputError for a missing model.
    """
    networks: dict[str, LoadedModel] = {}
    classifiers: dict[str, FittedClassifier] = {}
    cropping = None
    for name in names:
        description = read_description(folder / name)
        cropping = cropping_of(Dataset(**description["dataset"]), tta)  # one for all: they learned from the same arrays
        if description["kind"] == "classifier":
            from fakeprint.models.classifiers import load_classifier

            classifiers[name] = load_classifier(folder / name)
        else:
            networks[name] = load_model(folder / name, tta=tta)
    return Models(networks, classifiers, cropping)


def load_ensembles(names: Iterable[str], settings: Params, classes: list[str]) -> dict[str, Combined]:
    """The ensembles among `names`, cross-fitted on their members' predictions of the validation images."""
    return {
        name: combined(name, members_that_run(name, settings.ensembles[name], settings.run), settings, classes)
        for name in names
        if name in settings.run.ensembles
    }


def combined(name: str, members: Members, settings: Params, classes: list[str]) -> Combined:
    """Fit one ensemble's cross-fitted combination, by its members' predictions of the validation images."""
    ensemble = settings.ensembles[name]
    validation, probabilities = load_members(members.names, classes, "validation")
    more = load_degraded_members(members.names, classes) if ensemble.degraded else ()
    data = (probabilities, validation.labels, validation.groups, settings.seed, more)
    return Combined(members.names, cross_fit(name, ensemble, members.weights, *data))


def predict_degraded(
    models: Models,
    ensembles: Mapping[str, Combined],
    images: np.ndarray | WholeImages,
    grid: Mapping[str, Mapping[str, float]],
    seed: int,
    workers: int | None,
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield each cell with every model's probabilities, float64 (N, C), of the images degraded so.

    images: uint8 (N, H, W, 3), N ≥ 1, an array or a memory map, of which a few batches are in memory; or whole images,
    which are degraded as a whole and cut then. grid: cell →
    {transform: strength}. workers: processes that degrade images and extract features, None for all cores; their number
    does not change the result. Shows progress over all cells.
    """
    starts = range(0, len(images), batch_size(images))
    batches = track(_batches(models, images, grid, seed, workers), "robustness", len(grid) * len(starts), "batch")
    for cell in grid:
        probabilities = _predict_cell(models, itertools.islice(batches, len(starts)))
        for name, ensemble in ensembles.items():
            members = np.stack([probabilities[member] for member in ensemble.members], axis=1)
            probabilities[name] = ensemble.combination(members)
        yield cell, probabilities


# Degraded images or crops, empty without networks; crops of each image, if it was cut; features of each shared set.
Batch = tuple[np.ndarray, np.ndarray | None, list[np.ndarray]]


def _batches(
    models: Models,
    images: np.ndarray | WholeImages,
    grid: Mapping[str, Mapping[str, float]],
    seed: int,
    workers: int | None,
) -> Iterator[Batch]:
    """Batches of images of each cell in turn, degraded and with features, from the workers."""
    sets, cropping, keep, size = models.feature_sets, models.cropping, bool(models.networks), batch_size(images)

    def tasks() -> Iterator[Any]:
        for cell, steps in grid.items():
            numbers = random_numbers(cell, len(images), seed)
            for start in range(0, len(images), size):
                rows = slice(start, start + size)
                yield delayed(_prepare_batch)(rows_of(images, rows), dict(steps), numbers[rows], sets, keep, cropping)

    return in_order(tasks(), workers)


def _prepare_batch(
    images: Sequence[np.ndarray] | np.ndarray,
    steps: Mapping[str, float],
    numbers: np.ndarray,
    sets: list[SharedSet],
    keep: bool,
    cropping: Cropping | None,
) -> Batch:
    degraded_images = degrade(images, steps, numbers)
    crops = Crops.of(degraded_images, cropping) if cropping else None
    pixels = crops.pixels if crops else np.stack(degraded_images)
    features = [extract(name, json.loads(options), pixels) for name, options in sets]
    return pixels if keep else pixels[:0], crops.counts if crops else None, features


def _predict_cell(models: Models, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
    """Every model's probabilities, float64 (N, C), of the batches of one cell."""
    probabilities: dict[str, list[np.ndarray]] = {name: [] for name in (*models.networks, *models.classifiers)}
    unclassified: list[list[np.ndarray]] = []
    counted: list[np.ndarray] = []

    def classify() -> None:
        features = dict(zip(models.feature_sets, map(np.concatenate, zip(*unclassified, strict=True)), strict=True))
        counts = np.concatenate(counted) if counted else None
        for name, fitted in models.classifiers.items():
            x = np.concatenate([features[shared] for shared in _sets(fitted)], axis=1)
            probabilities[name].append(averaged(fitted.probabilities(x), counts))
        unclassified.clear()
        counted.clear()

    for images, counts, features in batches:
        for name, model in models.networks.items():
            probabilities[name].append(model.probabilities(images if counts is None else Crops(images, counts)))
        unclassified.append(features)
        counted += [] if counts is None else [counts]
        if len(unclassified) * BATCH >= CLASSIFIED:
            classify()
    if unclassified:
        classify()
    return {name: np.concatenate(parts) for name, parts in probabilities.items()}
