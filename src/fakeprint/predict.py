"""Image in, probabilities out: the one path that the predict stage and `python -m fakeprint predict` share."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeprint.data.arrays import Dataset, resized
from fakeprint.data.decode import Unreadable, decode, longest_file
from fakeprint.data.regular import read_regular
from fakeprint.errors import InputError
from fakeprint.features import extract_blocks
from fakeprint.files import read_json
from fakeprint.models.ensembles import load_ensemble, side_by_side
from fakeprint.params import Predict
from fakeprint.progress import quiet, track

if TYPE_CHECKING:
    import torch

    from fakeprint.models.classifiers import FittedClassifier

AS_IT_IS = Predict()
BATCH = 128  # images a forward pass
MOST_FILES = 1024  # files read before the first answer, and between answers
MOST_BYTES = 2**26  # of their images, once resized


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer.

    `probabilities(images)` takes uint8 (N, S, S, 3) RGB, S = dataset.image_size, and returns float64 (N, C), rows that
    sum to 1, columns in the order of dataset.classes. N may be 0.
    """

    name: str
    dataset: Dataset
    probabilities: Callable[[np.ndarray], np.ndarray]


def load_model(folder: Path, workers: int | None = None, how: Predict = AS_IT_IS) -> LoadedModel:
    """Load models/NAME, or models/champion. An ensemble's members are looked for beside it.

    workers: processes for features, None for all cores; changes no result. how: test-time augmentation of networks; a
    champion's folder says itself with which it became champion. torch is imported for networks only.
    Raises InputError for a missing or unknown model.
    """
    if (folder / "champion.json").exists():
        champion = read_json(folder / "champion.json")
        folder, how = folder / champion["model"], Predict(**champion.get("predict", {}))
    description = _description(folder)
    loaders = {"network": _network, "classifier": _classifier, "ensemble": _ensemble}
    if description.get("kind") not in loaders:
        raise InputError(f"{folder / 'model.json'} describes no network, classifier or ensemble: run `dvc repro`")
    answer = loaders[description["kind"]](folder, workers, how)
    return LoadedModel(description["name"], Dataset(**description["dataset"]), answer)


def _description(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    try:
        description: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run `dvc repro` or `dvc checkout {folder}` first") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path} is not valid JSON: run `dvc checkout --force {folder}`") from None
    return description


def _network(folder: Path, workers: int | None, how: Predict) -> Callable[[np.ndarray], np.ndarray]:
    from fakeprint.models.network_files import load_network
    from fakeprint.training.device import choose, keep_freed_memory

    module, description = load_network(folder)
    execution = choose("auto", "fp32")
    if execution.device == "cpu":
        keep_freed_memory()
    return partial(_forward, execution.place(module), execution.device, description, how)


def _forward(
    module: "torch.nn.Module", device: str, description: dict[str, Any], how: Predict, images: np.ndarray
) -> np.ndarray:
    import torch

    probabilities = np.empty((len(images), len(description["dataset"]["classes"])))
    starts = range(0, len(images), BATCH)
    # TF32 keeps 10 bits: enough to tell a GPU's answers from a CPU's in the third digit.
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        for start in track(starts, f"predict {description['name']}", unit="batch") if len(starts) > 1 else starts:
            pixels = torch.from_numpy(np.array(images[start : start + BATCH])).to(device)
            seen = views(pixels.permute(0, 3, 1, 2).float().div_(255), how)
            answers = torch.stack([torch.softmax(module(view).cpu().double(), dim=1) for view in seen])
            probabilities[start : start + BATCH] = answers.mean(0).numpy()
    return probabilities


def views(images: "torch.Tensor", how: Predict) -> list["torch.Tensor"]:
    """What test-time augmentation shows a network of each image: the images first, (N, 3, S, S), then their variants.

    flip: left-right mirror images. flip_shift: and the images moved by `how.shift` pixels right, left, down and up,
    their mirror image coming in at the border, as in `augment.transforms`.
    Krizhevsky, Sutskever and Hinton 2012 average over crops and mirror images in this way.
    """
    import torch

    seen = [images] if how.tta == "none" else [images, images.flip(3)]
    if how.tta == "flip_shift":
        by, side = how.shift, images.shape[3]
        wide = torch.nn.functional.pad(images, (by, by, by, by), mode="reflect")
        corners = [(by, 0), (by, 2 * by), (0, by), (2 * by, by)]
        seen += [wide[:, :, top : top + side, left : left + side] for top, left in corners]
    return seen


def _classifier(folder: Path, workers: int | None, how: Predict) -> Callable[[np.ndarray], np.ndarray]:
    from fakeprint.models.classifiers import load_classifier

    return partial(_classify, load_classifier(folder), workers)


def _classify(fitted: "FittedClassifier", workers: int | None, images: np.ndarray) -> np.ndarray:
    """Features wait for an answer block by block, so that those of all images are never in memory."""
    blocks = extract_blocks(fitted.features, images, workers, f"predict {fitted.description['name']}")
    answered = [fitted.probabilities(block) for block in blocks]
    return np.concatenate(answered) if answered else np.zeros((0, len(fitted.description["dataset"]["classes"])))


def _ensemble(folder: Path, workers: int | None, how: Predict) -> Callable[[np.ndarray], np.ndarray]:
    names, combination = load_ensemble(folder)
    members = [load_model(folder.parent / name, workers, how) for name in names]

    def answer(images: np.ndarray) -> np.ndarray:
        return combination(side_by_side([member.probabilities(images) for member in members]))

    return answer


@dataclass(frozen=True)
class AnsweredFiles:
    """What a model says of some image files.

    paths: those that could be read. probabilities: float64 (N, C), a row each. set_aside: the others, and why.
    """

    paths: list[Path]
    probabilities: np.ndarray
    set_aside: list[tuple[Path, str]]


def answer_files(model: LoadedModel, files: Iterable[tuple[Path, str | None]]) -> Iterator[AnsweredFiles]:
    """Answer for image files, however many, some at a time: what lies in memory does not grow with their number.

    files: paths, and None or the reason for which a file is not to be read.
    """
    waiting = iter(files)
    at_once = max(1, min(MOST_FILES, MOST_BYTES // (3 * model.dataset.image_size**2)))
    while some := list(itertools.islice(waiting, at_once)):
        yield _answered(model, some)


def _answered(model: LoadedModel, some: list[tuple[Path, str | None]]) -> AnsweredFiles:
    images, paths, set_aside = read_images([path for path, reason in some if reason is None], model.dataset)
    with quiet():
        probabilities = model.probabilities(images)
    return AnsweredFiles(
        paths, probabilities, [*((path, reason) for path, reason in some if reason is not None), *set_aside]
    )


def read_images(paths: Sequence[Path], dataset: Dataset) -> tuple[np.ndarray, list[Path], list[tuple[Path, str]]]:
    """Decode and resize image files of any size and format as `prepare` does.

    Returns the images, uint8 (N, S, S, 3); the N paths they are from; and path and reason of each file left out, a file
    longer than any image of `dataset.max_pixels` and one that is no regular file among them.
    """
    size = dataset.image_size
    images = np.empty((len(paths), size, size, 3), dtype=np.uint8)
    names: list[Path] = []
    set_aside: list[tuple[Path, str]] = []
    for path in paths:
        try:
            content = read_regular(path, longest_file(dataset.max_pixels))
            rgb = decode(content, dataset.max_pixels).rgb
        except Unreadable as error:
            set_aside.append((path, error.reason))
        else:
            images[len(names)] = resized(rgb, size, dataset.resize)
            names.append(path)
    return images[: len(names)], names, set_aside
