"""Image in, probabilities out: the one path that the predict stage and `fakeprint predict` share."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeprint.data.arrays import Dataset, resized
from fakeprint.data.decode import Unreadable, decode, longest_file
from fakeprint.data.regular import read_regular
from fakeprint.files import read_json
from fakeprint.models.description import read_description
from fakeprint.params import Predict
from fakeprint.progress import quiet, track

if TYPE_CHECKING:
    import torch

    from fakeprint.models.classifiers import FittedClassifier

NO_AUGMENTATION = Predict()
BATCH = 128  # images per forward pass
MAX_FILES = 1024  # files per group that `predict_files` yields
MAX_BYTES = 2**25  # of the resized images of a group; as many are read ahead


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer.

    `probabilities(images)` takes uint8 (N, S, S, 3) RGB, S = dataset.image_size, and returns float64 (N, C), rows that
    sum to 1, columns in the order of dataset.classes. N may be 0.
    """

    name: str
    dataset: Dataset
    probabilities: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Options:
    workers: int | None
    tta: Predict
    device: str


def load_model(
    folder: Path, workers: int | None = None, tta: Predict = NO_AUGMENTATION, device: str = "auto"
) -> LoadedModel:
    """Load models/NAME, or models/champion. The members of an ensemble are loaded from the folders beside it.

    Args:
        folder: holds model.json, or champion.json.
        workers: processes that extract features; None for all cores. It changes no result.
        tta: test-time augmentation of networks. A folder with champion.json names its own, and `tta` is ignored.
        device: where networks run: auto, cpu, cuda, cuda:N or mps. torch is imported for networks only.

    Raises:
        InputError: the model is missing, of no known kind, or torch finds no such device.
    """
    if (folder / "champion.json").exists():
        champion = read_json(folder / "champion.json")
        folder, tta = folder / champion["model"], Predict(**champion.get("predict", {}))
    description = read_description(folder)
    loaders = {"network": _network, "classifier": _classifier, "ensemble": _ensemble}
    probabilities = loaders[description["kind"]](folder, _Options(workers, tta, device))
    return LoadedModel(description["name"], Dataset(**description["dataset"]), probabilities)


def _network(folder: Path, options: _Options) -> Callable[[np.ndarray], np.ndarray]:
    from fakeprint.models.network_files import load_network
    from fakeprint.training.device import choose, keep_freed_memory

    module, description = load_network(folder)
    execution = choose(options.device, "fp32", "--device")
    if execution.device == "cpu":
        keep_freed_memory()
    return partial(_forward, execution.place(module), execution.device, description, options.tta)


def _forward(
    module: "torch.nn.Module", device: str, description: dict[str, Any], tta: Predict, images: np.ndarray
) -> np.ndarray:
    import torch

    probabilities = np.empty((len(images), len(description["dataset"]["classes"])))
    starts = range(0, len(images), BATCH)
    # TF32 keeps 10 bits: so few that a GPU's predictions differ from a CPU's in the third digit.
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        for start in track(starts, f"predict {description['name']}", unit="batch") if len(starts) > 1 else starts:
            pixels = torch.from_numpy(np.array(images[start : start + BATCH])).to(device)
            inputs = views(pixels.permute(0, 3, 1, 2).float().div_(255), tta)
            per_view = torch.stack([torch.softmax(module(view).cpu().double(), dim=1) for view in inputs])
            probabilities[start : start + BATCH] = per_view.mean(0).numpy()
    return probabilities


def views(images: "torch.Tensor", tta: Predict) -> list["torch.Tensor"]:
    """The variants of a batch that test-time augmentation averages over, the images themselves first.

    Args:
        images: (N, 3, S, S), any dtype.
        tta: `flip` adds the left-right mirror images. `flip_shift` adds these and the images shifted by `tta.shift`
            pixels right, left, down and up, with their mirror image coming in at the border as in `augment.transforms`.

    Returns:
        1, 2 or 6 batches like `images`. The average over crops and mirror images is that of Krizhevsky, Sutskever and
        Hinton 2012.
    """
    import torch

    variants = [images] if tta.tta == "none" else [images, images.flip(3)]
    if tta.tta == "flip_shift":
        by, side = tta.shift, images.shape[3]
        padded = torch.nn.functional.pad(images, (by, by, by, by), mode="reflect")
        corners = [(by, 0), (by, 2 * by), (0, by), (2 * by, by)]
        variants += [padded[:, :, top : top + side, left : left + side] for top, left in corners]
    return variants


def _classifier(folder: Path, options: _Options) -> Callable[[np.ndarray], np.ndarray]:
    from fakeprint.models.classifiers import load_classifier

    return partial(_classify, load_classifier(folder), options.workers)


def _classify(fitted: "FittedClassifier", workers: int | None, images: np.ndarray) -> np.ndarray:
    """Block by block, so that the features of all images are never in memory together."""
    from fakeprint.features import extract_blocks

    blocks = extract_blocks(fitted.features, images, workers, f"predict {fitted.description['name']}")
    probabilities = [fitted.probabilities(block) for block in blocks]
    return (
        np.concatenate(probabilities) if probabilities else np.zeros((0, len(fitted.description["dataset"]["classes"])))
    )


def _ensemble(folder: Path, options: _Options) -> Callable[[np.ndarray], np.ndarray]:
    from fakeprint.models.ensembles import load_ensemble

    names, combination = load_ensemble(folder)
    members = [load_model(folder.parent / name, options.workers, options.tta, options.device) for name in names]

    def probabilities(images: np.ndarray) -> np.ndarray:
        return combination(np.stack([member.probabilities(images) for member in members], axis=1))

    return probabilities


@dataclass(frozen=True)
class FilePredictions:
    """Predictions of a group of image files.

    paths: the N files that could be read. probabilities: float64 (N, C), a row per path. unreadable: the other files,
    each with the reason. variants: float64 (N, V, C), of the images' variants; None if they were not asked for.
    """

    paths: list[Path]
    probabilities: np.ndarray
    unreadable: list[tuple[Path, str]]
    variants: np.ndarray | None = None


def predict_files(
    model: LoadedModel,
    files: Iterable[tuple[Path, str | None]],
    variants: Callable[[np.ndarray], list[np.ndarray]] | None = None,
) -> Iterator[FilePredictions]:
    """Predict any number of image files, a group at a time. Memory does not grow with their number.

    While the model computes, a thread reads the next group.

    Args:
        model: from `load_model`.
        files: paths, each with None or the reason why it must not be read.
        variants: `augment.variants.variants`, to predict these of each image too; None for none.
    """
    size = group_size(model.dataset)
    images = _read_ahead(files, model.dataset, size)
    try:
        while group := list(itertools.islice(images, size)):
            yield _predicted(model, group, variants)
    finally:
        images.close()


def _predicted(
    model: LoadedModel,
    group: list[tuple[Path, np.ndarray | str]],
    variants: Callable[[np.ndarray], list[np.ndarray]] | None,
) -> FilePredictions:
    readable = [(path, image) for path, image in group if not isinstance(image, str)]
    unreadable = [(path, reason) for path, reason in group if isinstance(reason, str)]
    images = _stacked([image for _, image in readable], model.dataset.image_size)
    with quiet():
        probabilities = model.probabilities(images)
        varied = [model.probabilities(each) for each in variants(images)] if variants else None
    of_variants = np.stack(varied, axis=1) if varied else None
    return FilePredictions([path for path, _ in readable], probabilities, unreadable, of_variants)


def group_size(dataset: Dataset) -> int:
    """How many images are decoded and predicted at a time: whole batches where memory allows it, at least one image."""
    size = max(1, min(MAX_FILES, MAX_BYTES // (3 * dataset.image_size**2)))
    return size - size % BATCH if size > BATCH else size


def _read_ahead(
    files: Iterable[tuple[Path, str | None]], dataset: Dataset, count: int
) -> Generator[tuple[Path, np.ndarray | str], None, None]:
    """Each path with its image, or the reason why there is none; `count` further files are being read meanwhile."""
    pending: deque[tuple[Path, Future[np.ndarray | str]]] = deque()
    with ThreadPoolExecutor(1) as pool:  # one: `decode` changes Python's warning filters, which all threads share
        try:
            for path, reason in files:
                pending.append((path, pool.submit(_read_or_reason, path, reason, dataset)))
                if len(pending) > count:
                    done, image = pending.popleft()
                    yield done, image.result()
            while pending:
                done, image = pending.popleft()
                yield done, image.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read_or_reason(path: Path, reason: str | None, dataset: Dataset) -> np.ndarray | str:
    if reason is not None:
        return reason
    try:
        return read_image(path, dataset)
    except Unreadable as error:
        return error.reason


def read_image(path: Path, dataset: Dataset) -> np.ndarray:
    """Decode and resize an image file of any size and format as `prepare` does.

    Returns:
        uint8 (S, S, 3), S = dataset.image_size.

    Raises:
        Unreadable: no regular file, no image, damaged, or larger than `dataset.max_pixels` allows.
    """
    return image_of(read_regular(path, longest_file(dataset.max_pixels)), dataset)


def image_of(content: bytes, dataset: Dataset) -> np.ndarray:
    """The same from the content of a file. Raises Unreadable as `read_image` does."""
    if len(content) > longest_file(dataset.max_pixels):
        raise Unreadable("too large")
    return resized(decode(content, dataset.max_pixels).rgb, dataset.image_size, dataset.resize)


def columns(dataset: Dataset) -> list[str]:
    """The columns of a table of predictions: the most probable class, its name, and the probability of each class."""
    return ["class", "name", *(f"p_{label}" for label in dataset.classes)]


def _stacked(images: list[np.ndarray], size: int) -> np.ndarray:
    return np.stack(images) if images else np.empty((0, size, size, 3), np.uint8)
