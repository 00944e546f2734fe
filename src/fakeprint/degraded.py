"""Images degraded by transforms of given strengths, and models' probabilities of them.

The transforms are those of augmentation; a crop keeps the middle. Images are processed in batches: each is degraded
once for all models, and its features are extracted once for all classifiers that use a set with the same options.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import delayed

from fakeprint import seeds
from fakeprint.augment.drawing import Plan
from fakeprint.augment.transforms import apply
from fakeprint.blocks import remapped
from fakeprint.data.arrays import WholeImages, images_per_batch
from fakeprint.data.crops import Cropping, Crops, averaged, cropping_of
from fakeprint.features import extract, on_device
from fakeprint.models.description import dataset_of, read_description
from fakeprint.parallel import in_order
from fakeprint.params import Predict
from fakeprint.predict import LoadedModel, load_model
from fakeprint.progress import track

if TYPE_CHECKING:
    from fakeprint.models.classifiers.files import FittedClassifier

BATCH = 128  # images that are degraded together
CLASSIFIED = 8 * BATCH  # rows of features, or a few more, that classifiers get in one call

Steps = Mapping[str, float]  # transform → strength, in the order in which they are applied
SharedSet = tuple[str, str]  # a feature set and its options as JSON


def degraded(images: np.ndarray, cell: str, steps: Steps, seed: int) -> np.ndarray:
    """Apply the steps to images, uint8 (N, H, W, 3); returns a new array. Noise depends on seed, cell and row."""
    return np.stack(degrade(images, steps, random_numbers(cell, len(images), seed)))


def random_numbers(cell: str, count: int, seed: int) -> np.ndarray:
    """A random number in [0, 1) for each row, independent of the number of rows."""
    return seeds.generator(seed, f"robustness/{cell}").random(count)


def degrade(images: Iterable[np.ndarray], steps: Steps, numbers: np.ndarray) -> list[np.ndarray]:
    """Apply the steps to images, uint8 (H, W, 3) of any sizes. numbers: one per image, which draws its noise."""
    out = []
    for row, image in enumerate(images):
        for name, strength in steps.items():
            more = {"crop": (0.5, 0.5), "noise": (numbers[row],)}.get(name, ())
            values = () if name == "flip" else (strength, *more)
            image = apply(image, Plan(((name, values),)))
        out.append(image)
    return out


def _batch_size(images: np.ndarray | WholeImages) -> int:
    """Images per batch: `BATCH`, fewer where images are large."""
    if isinstance(images, WholeImages):
        return min(BATCH, images_per_batch(images.heights.tolist(), images.widths.tolist()))
    return min(BATCH, images_per_batch(images.shape[1:2], images.shape[2:3]))


def _rows_of(images: np.ndarray | WholeImages, rows: slice) -> Sequence[np.ndarray] | np.ndarray:
    """Some images, in memory."""
    return images[rows] if isinstance(images, WholeImages) else np.array(remapped(images)[rows])


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
        # one for all: they learned from the same arrays
        cropping = cropping_of(dataset_of(folder / name, description), tta)
        if description["kind"] == "classifier":
            from fakeprint.models.classifiers.files import load_classifier

            classifiers[name] = load_classifier(folder / name)
        else:
            networks[name] = load_model(folder / name, tta=tta)
    return Models(networks, classifiers, cropping)


def member_probabilities(
    models: Models, images: np.ndarray | WholeImages, grid: Mapping[str, Steps], seed: int, workers: int | None
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield each cell with every network's and classifier's probabilities, float64 (N, C), of images degraded so.

    Args:
        models: the networks and classifiers.
        images: uint8 (N, H, W, 3), N ≥ 1, an array or a memory map, of which a few batches are in memory; or whole
            images, which are degraded as a whole and cut then.
        grid: cell → steps.
        seed: params.seed, of the noise.
        workers: processes that degrade images and extract features, None for all cores; their number does not change
            the result.
    """
    starts = range(0, len(images), _batch_size(images))
    batches = track(_batches(models, images, grid, seed, workers), "degraded", len(grid) * len(starts), "batch")
    for cell in grid:
        yield cell, _predict_cell(models, itertools.islice(batches, len(starts)))


# Degraded images or crops, empty without networks; crops of each image, if it was cut; features of each shared set.
Batch = tuple[np.ndarray, np.ndarray | None, list[np.ndarray]]


def _batches(
    models: Models,
    images: np.ndarray | WholeImages,
    grid: Mapping[str, Steps],
    seed: int,
    workers: int | None,
) -> Iterator[Batch]:
    """Batches of images of each cell in turn, degraded and with features, from the workers."""
    sets, cropping, keep, size = models.feature_sets, models.cropping, bool(models.networks), _batch_size(images)
    in_process = on_device(name for name, _ in sets)

    def tasks() -> Iterator[Any]:
        for cell, steps in grid.items():
            numbers = random_numbers(cell, len(images), seed)
            for start in range(0, len(images), size):
                rows = slice(start, start + size)
                yield delayed(_prepare_batch)(_rows_of(images, rows), dict(steps), numbers[rows], sets, keep, cropping)

    if in_process:
        return (function(*arguments, **options) for function, arguments, options in tasks())
    return in_order(tasks(), workers)


def _prepare_batch(
    images: Sequence[np.ndarray] | np.ndarray,
    steps: Steps,
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
    rows = 0

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
        rows += len(features[0]) if features else 0
        if rows >= CLASSIFIED:
            classify()
            rows = 0
    if unclassified:
        classify()
    return {name: np.concatenate(parts) for name, parts in probabilities.items()}
