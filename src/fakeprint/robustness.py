"""Every model on degraded validation images: what JPEG, noise, scaling and blur leave of its accuracy.

Images pass through in batches: each is degraded once for all models, its features are extracted once for all
classifiers that share a set with the same options, and what stays are probabilities. An ensemble is combined of its
members' probabilities, by the cross-fitted combination of its validation predictions
(`fakeprint.models.ensemble_fits`): what it was fitted on it is never tested on, degraded or not.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import delayed

from fakeprint import seeds
from fakeprint.augment.transforms import Plan, apply
from fakeprint.blocks import remapped
from fakeprint.evaluation.predictions import MEMBERS, load_predictions
from fakeprint.features import extract
from fakeprint.models.description import read_description
from fakeprint.models.ensemble_fits import cross_fit
from fakeprint.models.ensembles import Members, members_that_run
from fakeprint.parallel import in_order
from fakeprint.params import Params, Predict
from fakeprint.predict import BATCH, LoadedModel, load_model
from fakeprint.progress import track

if TYPE_CHECKING:
    from fakeprint.models.classifiers import FittedClassifier

AT_ONCE = 8 * BATCH  # images whose features are answered together

SharedSet = tuple[str, str]  # a feature set and its options as JSON


@dataclass(frozen=True)
class Combined:
    """An ensemble as the grid sees it: names of its members, and what makes (N, C) of their (N, M, C)."""

    members: list[str]
    combination: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Models:
    """The networks and classifiers of a grid by name, members of ensembles among them."""

    networks: dict[str, LoadedModel]
    classifiers: dict[str, "FittedClassifier"]

    @property
    def feature_sets(self) -> list[SharedSet]:
        """Each feature set that a classifier needs, once for each of its options."""
        return list(dict.fromkeys(shared for fitted in self.classifiers.values() for shared in _sets(fitted)))


def _sets(fitted: "FittedClassifier") -> list[SharedSet]:
    return [(name, json.dumps(options, sort_keys=True)) for name, options in fitted.features.items()]


def load_models(names: Iterable[str], how: Predict, folder: Path) -> Models:
    """Load networks and classifiers `names` from models/; torch is imported for networks only.

    how: the networks' test-time augmentation. Raises InputError for a missing model.
    """
    networks: dict[str, LoadedModel] = {}
    classifiers: dict[str, FittedClassifier] = {}
    for name in names:
        if read_description(folder / name)["kind"] == "classifier":
            from fakeprint.models.classifiers import load_classifier

            classifiers[name] = load_classifier(folder / name)
        else:
            networks[name] = load_model(folder / name, tta=how)
    return Models(networks, classifiers)


def load_ensembles(names: Iterable[str], settings: Params, classes: list[str]) -> dict[str, Combined]:
    """The ensembles among `names`, cross-fitted on their members' predictions of the clean validation images."""
    return {
        name: combined(name, members_that_run(name, settings.ensembles[name], settings.run), settings, classes)
        for name in names
        if name in settings.run.ensembles
    }


def combined(name: str, members: Members, settings: Params, classes: list[str]) -> Combined:
    """Fit one ensemble's cross-fitted combination, by its members' predictions of the clean validation images."""
    predictions = [load_predictions(member, classes, "validation", MEMBERS) for member in members.names]
    probabilities = np.stack([each.probabilities for each in predictions], axis=1)
    labels, groups = predictions[0].labels, predictions[0].groups
    fitted = cross_fit(name, settings.ensembles[name], members.weights, probabilities, labels, groups, settings.seed)
    return Combined(members.names, fitted)


def degraded(images: np.ndarray, cell: str, steps: Mapping[str, float], seed: int) -> np.ndarray:
    """Images, uint8 (N, H, W, 3), after the steps (transform → strength) in their order; a new array.

    The transforms are augmentation's own; a crop keeps the middle. Noise is drawn for each image by seed, cell and row.
    """
    return _degraded(images, steps, _numbers(cell, len(images), seed))


def _numbers(cell: str, count: int, seed: int) -> np.ndarray:
    """A number in [0, 1) for each row; more rows change none of the first."""
    return seeds.generator(seed, f"robustness/{cell}").random(count)


def _degraded(images: np.ndarray, steps: Mapping[str, float], numbers: np.ndarray) -> np.ndarray:
    out = np.empty(images.shape, np.uint8)
    for row, image in enumerate(images):
        for name, strength in steps.items():
            more = {"crop": (0.5, 0.5), "noise": (numbers[row],)}.get(name, ())
            image = apply(image, Plan(((name, (strength, *more)),)))
        out[row] = image
    return out


def predict_degraded(
    models: Models,
    ensembles: Mapping[str, Combined],
    images: np.ndarray,
    grid: Mapping[str, Mapping[str, float]],
    seed: int,
    workers: int | None,
) -> dict[str, dict[str, np.ndarray]]:
    """probabilities[cell][model]: every model's probabilities, float64 (N, C), of the degraded images.

    images: uint8 (N, H, W, 3), N ≥ 1, an array or a memory map, of which some batches are held at a time. grid: cell →
    {transform: strength}. workers: processes that degrade images and extract features, None for all cores; changes no
    result. Shows progress over all cells.
    """
    probabilities: dict[str, dict[str, np.ndarray]] = {cell: {} for cell in grid}
    starts = range(0, len(images), BATCH)
    batches = track(_batches(models, images, grid, seed, workers), "robustness", len(grid) * len(starts), "batch")
    for cell in grid:
        probabilities[cell] = _answer(models, itertools.islice(batches, len(starts)))
        for name, ensemble in ensembles.items():
            members = np.stack([probabilities[cell][member] for member in ensemble.members], axis=1)
            probabilities[cell][name] = ensemble.combination(members)
    return probabilities


Batch = tuple[np.ndarray, list[np.ndarray]]  # degraded images, none where no network wants them, and each shared set


def _batches(
    models: Models, images: np.ndarray, grid: Mapping[str, Mapping[str, float]], seed: int, workers: int | None
) -> Iterator[Batch]:
    """`BATCH` images after the other, of each cell in turn, degraded and described by the workers."""
    sets = models.feature_sets

    def tasks() -> Iterator[Any]:
        for cell, steps in grid.items():
            numbers = _numbers(cell, len(images), seed)
            for start in range(0, len(images), BATCH):
                rows = slice(start, start + BATCH)
                pixels = np.array(remapped(images)[rows])
                yield delayed(_prepared)(pixels, dict(steps), numbers[rows], sets, bool(models.networks))

    return in_order(tasks(), workers)


def _prepared(
    images: np.ndarray, steps: Mapping[str, float], numbers: np.ndarray, sets: list[SharedSet], keep: bool
) -> Batch:
    seen = _degraded(images, steps, numbers)
    return seen if keep else seen[:0], [extract(name, json.loads(options), seen) for name, options in sets]


def _answer(models: Models, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
    """Every model's probabilities, float64 (N, C), of the batches of one cell."""
    probabilities: dict[str, list[np.ndarray]] = {name: [] for name in (*models.networks, *models.classifiers)}
    waiting: list[list[np.ndarray]] = []

    def classify() -> None:
        described = dict(zip(models.feature_sets, map(np.concatenate, zip(*waiting, strict=True)), strict=True))
        for name, fitted in models.classifiers.items():
            x = np.concatenate([described[shared] for shared in _sets(fitted)], axis=1)
            probabilities[name].append(fitted.probabilities(x))
        waiting.clear()

    for images, described in batches:
        for name, model in models.networks.items():
            probabilities[name].append(model.probabilities(images))
        waiting.append(described)
        if len(waiting) * BATCH >= AT_ONCE:
            classify()
    if waiting:
        classify()
    return {name: np.concatenate(parts) for name, parts in probabilities.items()}
