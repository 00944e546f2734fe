"""Every model on degraded validation images: what JPEG, noise, scaling and blur leave of its accuracy.

Images are degraded once for all models, features extracted once for all classifiers that share a set with the same
options, and an ensemble is combined of its members' probabilities, by the cross-fitted combination of its validation
predictions (`fakeprint.models.ensemble_fits`): what it was fitted on it is never tested on, degraded or not.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from joblib import delayed

from fakeprint import seeds
from fakeprint.augment.transforms import Plan, apply
from fakeprint.features import extract
from fakeprint.files import read_json
from fakeprint.models.ensembles import side_by_side
from fakeprint.parallel import in_order
from fakeprint.params import Predict
from fakeprint.predict import BATCH, LoadedModel, load_model
from fakeprint.progress import track

if TYPE_CHECKING:
    from fakeprint.models.classifiers import FittedClassifier

FEATURE_BATCH = 125  # images a task: small enough for two cores to end a cell together

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
        if (folder / name / "model.json").exists() and read_json(folder / name / "model.json")["kind"] == "classifier":
            from fakeprint.models.classifiers import load_classifier

            classifiers[name] = load_classifier(folder / name)
        else:
            networks[name] = load_model(folder / name, how=how)
    return Models(networks, classifiers)


def degraded(images: np.ndarray, cell: str, steps: Mapping[str, float], seed: int) -> np.ndarray:
    """Images, uint8 (N, H, W, 3), after the steps (transform → strength) in their order; a new array.

    The transforms are augmentation's own; a crop keeps the middle. Noise is drawn for each image by seed, cell and row.
    """
    numbers = seeds.generator(seed, f"robustness/{cell}").random(len(images))
    out = np.empty(images.shape, np.uint8)

    def fill(row: int) -> None:
        image = images[row]
        for name, strength in steps.items():
            more = {"crop": (0.5, 0.5), "noise": (numbers[row],)}.get(name, ())
            image = apply(image, Plan(((name, (strength, *more)),)))
        out[row] = image

    with ThreadPoolExecutor() as pool:  # OpenCV lets go of the interpreter's lock
        list(pool.map(fill, range(len(images))))
    return out


def answers(
    models: Models,
    ensembles: Mapping[str, Combined],
    images: np.ndarray,
    grid: Mapping[str, Mapping[str, float]],
    seed: int,
    workers: int | None,
) -> dict[str, dict[str, np.ndarray]]:
    """said[cell][model]: every model's probabilities, float64 (N, C), of the degraded images.

    images: uint8 (N, H, W, 3), N ≥ 1. grid: cell → {transform: strength}. workers: processes for features, None for
    all cores; changes no result. Shows progress over all cells.
    """
    said: dict[str, dict[str, np.ndarray]] = {cell: {} for cell in grid}
    batches, chunks = -(-len(images) // BATCH), -(-len(images) // FEATURE_BATCH)
    a_cell = len(models.networks) * batches + len(models.feature_sets) * chunks + len(models.classifiers)

    def work() -> Iterator[None]:
        for cell, steps in grid.items():
            yield from _answer(models, degraded(images, cell, steps, seed), workers, said[cell])
            for name, ensemble in ensembles.items():
                members = side_by_side([said[cell][member] for member in ensemble.members])
                said[cell][name] = ensemble.combination(members)

    for _ in track(work(), "robustness", total=len(grid) * a_cell, unit="batch"):
        pass
    return said


def _answer(models: Models, images: np.ndarray, workers: int | None, said: dict[str, np.ndarray]) -> Iterator[None]:
    """Put every model's probabilities of the images into `said`; yields after each batch of work."""
    for name, model in models.networks.items():
        batches = []
        for start in range(0, len(images), BATCH):
            batches.append(model.probabilities(images[start : start + BATCH]))
            yield
        said[name] = np.concatenate(batches)
    parts: dict[SharedSet, list[np.ndarray]] = {shared: [] for shared in models.feature_sets}
    tasks = [(shared, start) for shared in parts for start in range(0, len(images), FEATURE_BATCH)]
    # Starting processes costs a second: not for what one core does in that time.
    processes = 1 if len(images) <= FEATURE_BATCH else workers
    described = in_order(
        (
            delayed(extract)(name, json.loads(options), images[start : start + FEATURE_BATCH])
            for (name, options), start in tasks
        ),
        processes,
    )
    for (shared, _), numbers in zip(tasks, described, strict=True):
        parts[shared].append(numbers)
        yield
    features = {shared: np.concatenate(numbers) for shared, numbers in parts.items()}
    for name, fitted in models.classifiers.items():
        said[name] = fitted.probabilities(np.concatenate([features[shared] for shared in _sets(fitted)], axis=1))
        yield
