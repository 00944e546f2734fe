"""Image in, probabilities out: the one path that the predict stage and `fakeprint predict` share."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeprint.data.arrays import Dataset, WholeImages, as_stored
from fakeprint.data.crops import Cropping, Crops, averaged, cropping_of
from fakeprint.data.decode import Unreadable, decode, longest_file
from fakeprint.data.regular import read_regular
from fakeprint.errors import InputError
from fakeprint.models.description import dataset_of, read_champion, read_description
from fakeprint.params import Predict
from fakeprint.progress import quiet, track

if TYPE_CHECKING:
    import torch

    from fakeprint.models.classifiers.files import FittedClassifier

NO_AUGMENTATION = Predict()
BATCH = 128  # images per forward pass
MAX_FILES = 1024  # files per group that `predict_files` yields
MAX_BYTES = 2**25  # of the resized images or crops of a group; as many are read ahead

Answer = Callable[[np.ndarray | Crops], np.ndarray]
Variants = Callable[[np.ndarray], list[np.ndarray]]
Versions = list[np.ndarray]  # an image and its variants


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer.

    `probabilities(images)` takes uint8 (N, S, S, 3) RGB, S = dataset.image_size, and returns float64 (N, C), rows that
    sum to 1, columns in the order of dataset.classes. N may be 0. With resize: native it takes `Crops`, or N whole
    images, uint8 (H, W, 3) each, in a list or a file, and cuts them as `cropping` says; row i is of image i.
    """

    name: str
    dataset: Dataset
    probabilities: Callable[[Any], np.ndarray]
    cropping: Cropping | None = None

    def crops(self, image: np.ndarray) -> np.ndarray:
        """What the model takes of an image from `read_image`: the image, or its crops, uint8 (K, S, S, 3)."""
        return self.cropping.of(image) if self.cropping else image


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
        tta: the block `predict`: test-time augmentation of networks, and how whole images are cut. A folder with
            champion.json names its own, and `tta` is ignored.
        device: where networks run: auto, cpu, cuda, cuda:N or mps. torch is imported for networks only.

    Raises:
        InputError: the model is missing, damaged or of no known kind, or torch finds no such device.
    """
    if champion := read_champion(folder):
        folder, tta = folder / champion.model, champion.predict
    description = read_description(folder)
    loaders = {"network": _network, "classifier": _classifier, "ensemble": _ensemble}
    of_pixels = loaders[description["kind"]](folder, _Options(workers, tta, device))
    dataset = dataset_of(folder, description)
    cropping = cropping_of(dataset, tta)
    probabilities = partial(_of_whole_images, of_pixels, cropping, description["name"]) if cropping else of_pixels
    return LoadedModel(description["name"], dataset, probabilities, cropping)


def _of_whole_images(
    of_crops: Answer, cropping: Cropping, name: str, images: Crops | WholeImages | Sequence
) -> np.ndarray:
    """The probabilities of images that are cut first, a group at a time; of crops as they are."""
    if isinstance(images, Crops):
        return of_crops(images)
    size = _images_per_group(cropping.size, cropping.count)
    starts = range(0, max(1, len(images)), size)  # a group, which is empty, if there are no images
    probabilities = []
    for start in track(starts, f"predict {name}", unit="group") if len(starts) > 1 else starts:
        source = images.reopened() if isinstance(images, WholeImages) else images
        rows = range(start, min(start + size, len(images)))
        with quiet():
            probabilities.append(of_crops(Crops.of((source[row] for row in rows), cropping)))
    return np.concatenate(probabilities)


def _of_crops_too(of_pixels: Callable[[np.ndarray], np.ndarray], images: np.ndarray | Crops) -> np.ndarray:
    """A model's probabilities of images, or of crops, averaged over those of each image."""
    if isinstance(images, Crops):
        return averaged(of_pixels(images.pixels), images.counts)
    return of_pixels(images)


def _network(folder: Path, options: _Options) -> Answer:
    from fakeprint.models.network_files import load_network
    from fakeprint.training.device import choose, keep_freed_memory

    module, description = load_network(folder)
    execution = choose(options.device, "fp32", "--device")
    if execution.device == "cpu":
        keep_freed_memory()
    forward = partial(_forward, execution.place(module), execution.device, description, options.tta)
    return partial(_of_crops_too, forward)


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


def _classifier(folder: Path, options: _Options) -> Answer:
    from fakeprint.models.classifiers.files import load_classifier

    return partial(_of_crops_too, partial(_classify, load_classifier(folder), options.workers))


def _classify(fitted: "FittedClassifier", workers: int | None, images: np.ndarray) -> np.ndarray:
    """Block by block, so that the features of all images are never in memory together."""
    from fakeprint.features import extract_blocks

    blocks = extract_blocks(fitted.features, images, workers, f"predict {fitted.description['name']}")
    probabilities = [fitted.probabilities(block) for block in blocks]
    return (
        np.concatenate(probabilities) if probabilities else np.zeros((0, len(fitted.description["dataset"]["classes"])))
    )


def _ensemble(folder: Path, options: _Options) -> Answer:
    from fakeprint.models.ensembles.combinations import load_ensemble

    names, combination = load_ensemble(folder)
    for name in names:
        if read_description(folder.parent / name)["kind"] == "ensemble":
            raise InputError(f"{folder / 'model.json'}: its member {name} is an ensemble itself")
    members = [load_model(folder.parent / name, options.workers, options.tta, options.device) for name in names]

    def probabilities(images: np.ndarray | Crops) -> np.ndarray:
        return combination(np.stack([member.probabilities(images) for member in members], axis=1))

    return probabilities


@dataclass(frozen=True)
class FilePredictions:
    """Predictions of a group of image files.

    paths: the N files that could be read. probabilities: float64 (N, C), a row per path. unreadable: the other files,
    each with the reason. variants: float64 (N, V, C), of the images' variants; None if they were not requested.
    """

    paths: list[Path]
    probabilities: np.ndarray
    unreadable: list[tuple[Path, str]]
    variants: np.ndarray | None = None


def predict_files(
    model: LoadedModel,
    files: Iterable[tuple[Path, str | None]],
    variants: Variants | None = None,
) -> Iterator[FilePredictions]:
    """Predict any number of image files, a group at a time. Memory does not grow with their number.

    While the model computes, a thread reads the next group.

    Args:
        model: from `load_model`.
        files: paths, each with None or the reason why it must not be read.
        variants: `augment.variants.variants`, to predict these of each image too; None for none.
    """
    size = group_size(model)
    images = _read_ahead(files, partial(_read_or_reason, model=model, variants=variants), size)
    variant_count = variants_per_image(variants)
    try:
        while group := list(itertools.islice(images, size)):
            yield _predicted(model, group, variant_count)
    finally:
        images.close()


def _predicted(model: LoadedModel, group: list[tuple[Path, Versions | str]], variant_count: int) -> FilePredictions:
    """The predictions of one group of files. variant_count: variants per image, 0 = none."""
    readable = [(path, versions) for path, versions in group if not isinstance(versions, str)]
    unreadable = [(path, reason) for path, reason in group if isinstance(reason, str)]
    probabilities, of_variants = probabilities_of([versions for _, versions in readable], model, variant_count)
    return FilePredictions([path for path, _ in readable], probabilities, unreadable, of_variants)


def probabilities_of(
    images: Sequence[Versions], model: LoadedModel, variant_count: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """The probabilities of N images from `versions_of`, float64 (N, C), and of their variants, float64 (N, V, C).

    variant_count: V, how many variants each image has; with 0 there is None instead of their probabilities.
    """
    with quiet():
        probabilities, *varied = (
            model.probabilities(stacked([versions[kind] for versions in images], model))
            for kind in range(1 + variant_count)
        )
    return probabilities, np.stack(varied, axis=1) if varied else None


def versions_of(image: np.ndarray, model: LoadedModel, variants: Variants | None = None) -> Versions:
    """An image from `read_image` and its variants, as the model takes them: whole images are varied first, cut then."""
    varied = [each[0] for each in variants(image[None])] if variants else []
    return [model.crops(each) for each in (image, *varied)]


def variants_per_image(variants: Variants | None) -> int:
    """How many variants an image has."""
    return len(variants(np.empty((0, 1, 1, 3), np.uint8))) if variants else 0


def group_size(model: LoadedModel) -> int:
    """How many images are decoded and predicted at a time: whole batches where memory allows it, at least one image."""
    return _images_per_group(model.dataset.image_size, model.cropping.count if model.cropping else 1)


def _images_per_group(side: int, crops: int) -> int:
    size = max(1, min(MAX_FILES, MAX_BYTES // (3 * side**2 * crops)))
    return size - size % BATCH if size > BATCH else size


def _read_ahead(
    files: Iterable[tuple[Path, str | None]],
    read: Callable[[Path, str | None], Versions | str],
    count: int,
) -> Generator[tuple[Path, Versions | str], None, None]:
    """Each path with what `read` gives: the image, or the reason why there is none. `count` more are read meanwhile."""
    pending: deque[tuple[Path, Future[Versions | str]]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            for path, reason in files:
                pending.append((path, pool.submit(read, path, reason)))
                if len(pending) > count:
                    done, image = pending.popleft()
                    yield done, image.result()
            while pending:
                done, image = pending.popleft()
                yield done, image.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read_or_reason(path: Path, reason: str | None, model: LoadedModel, variants: Variants | None) -> Versions | str:
    """The image and its variants, or the reason why there is no image."""
    if reason is not None:
        return reason
    try:
        return versions_of(read_image(path, model.dataset), model, variants)
    except Unreadable as error:
        return error.reason


def read_image(path: Path, dataset: Dataset) -> np.ndarray:
    """Decode and resize an image file of any size and format as `prepare` does.

    Returns:
        uint8 (S, S, 3), S = dataset.image_size; with resize: native the whole image, (H, W, 3).

    Raises:
        Unreadable: no regular file, no image, damaged, larger than `dataset.max_pixels` allows, or smaller than
            `dataset.small` does.
    """
    return image_of(read_regular(path, longest_file(dataset.max_pixels)), dataset)


def image_of(content: bytes, dataset: Dataset) -> np.ndarray:
    """The same from the content of a file. Raises Unreadable as `read_image` does."""
    if len(content) > longest_file(dataset.max_pixels):
        raise Unreadable("too large")
    rgb = decode(content, dataset.max_pixels).rgb
    if dataset.refuses(*rgb.shape[:2]):
        raise Unreadable(dataset.too_small)
    return as_stored(rgb, dataset)


def columns(dataset: Dataset) -> list[str]:
    """The columns of a table of predictions: the most probable class, its name, and the probability of each class."""
    return ["class", "name", *(f"p_{label}" for label in dataset.classes)]


def stacked(images: Sequence[np.ndarray], model: LoadedModel) -> np.ndarray | Crops:
    """What `model.probabilities` takes, of any number of images that went through `model.crops`."""
    size = model.dataset.image_size
    if model.cropping:
        return Crops.stacked(images, size)
    return np.stack(images) if images else np.empty((0, size, size, 3), np.uint8)
