"""Feature sets: pure functions from images to numbers, one image at a time, so that batches do not change results."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import delayed

from fakeprint.blocks import remapped, write_rows
from fakeprint.data.crops import EvenCrops
from fakeprint.errors import InputError
from fakeprint.features import backbone, colour, residual, residual_image, spectrum
from fakeprint.features.files import FEATURES
from fakeprint.files import write_json, written_folder
from fakeprint.parallel import in_order
from fakeprint.params import suggestion
from fakeprint.progress import track

BATCH = 256  # images per task of the pool, at most; many enough to hide the cost of sending them
TASK_BYTES = 2**21  # of them, if they are large: small tasks keep all workers busy to the end, and the bar alive

Options = dict[str, Any]
Images = np.ndarray | EvenCrops


@dataclass(frozen=True)
class FeatureSet:
    """One set: `describe(image uint8 (H, W, 3) RGB, **options)` gives its numbers, float32 (D,).

    If `batches`, it takes images (N, H, W, 3) and gives (N, D). stored: the type of the numbers on disk; "<f2" for sets
    whose numbers float16 holds.
    """

    summary: str
    source: str
    describe: Callable[..., np.ndarray]
    batches: bool = False
    stored: str = "<f4"


FEATURE_SETS: dict[str, FeatureSet] = {
    "rgb_hist": FeatureSet("joint RGB histogram, bins per channel", "Swain and Ballard 1991", colour.rgb_hist),
    "hsv_hist": FeatureSet("HSV histogram, each channel separately", "Swain and Ballard 1991", colour.hsv_hist),
    "hsv_joint": FeatureSet("joint HSV histogram", "Swain and Ballard 1991", colour.hsv_joint),
    "pixels": FeatureSet("the image itself, scaled down", "the usual baseline", colour.pixels),
    "residual": FeatureSet(
        "co-occurrences of truncated pixel differences, per channel and across channels",
        "SPAM (Pevný, Bas and Fridrich 2010), SRM (Fridrich and Kodovský 2012)",
        residual.residual,
    ),
    "spectrum": FeatureSet(
        "azimuthally averaged log power spectrum of the image and of its median residual",
        "Durall, Keuper and Keuper 2020",
        spectrum.spectrum,
    ),
    "residual_image": FeatureSet(
        "the image minus its denoised self, at every pixel",
        "Lukáš, Fridrich and Goljan 2006; Marra et al. 2019",
        residual_image.residual_image,
        stored="<f2",
    ),
    "backbone": FeatureSet(
        "pooled features of a pretrained network of timm",
        "Sharif Razavian et al. 2014; system D",
        backbone.backbone,
        batches=True,
    ),
}


def extract(name: str, options: Options, images: np.ndarray) -> np.ndarray:
    """The features of a batch, computed on one core, or on the device for a network's features.

    images: uint8 (N, H, W, 3) RGB. Returns float32 (N, D). Row i depends only on image i, bit for bit; on a GPU the
    last bits of a network's features may depend on how many images share its batch.
    Raises InputError for an unknown set, and for images of a size that the set does not support.
    """
    feature_set = _known(name)
    if not len(images):
        return np.zeros((0, size(name, options, images.shape[1:])), dtype=np.float32)
    if feature_set.batches:
        return feature_set.describe(images, **options)
    return np.stack([feature_set.describe(image, **options) for image in images])


def size(name: str, options: Options, image_shape: tuple[int, ...]) -> int:
    """D of a set for images of this shape (H, W, 3)."""
    return extract(name, options, np.zeros((1, *image_shape), dtype=np.uint8)).shape[1]


def on_device(sets: Iterable[str]) -> bool:
    """Whether one of these sets is computed on a GPU, by this process alone: each other one would need its memory."""
    return "backbone" in sets and backbone.device() != "cpu"


def extract_blocks(sets: Mapping[str, Options], images: Images, workers: int | None, what: str) -> Iterator[np.ndarray]:
    """The concatenated sets of all images, in blocks float32 (n, D) in the order of the images, n ≤ `BATCH`.

    Computed in worker processes, with progress called `what`; the number of workers (None: all cores) does not change
    the result. A network's features are computed in this process if it has a GPU. sets: name → options. images: uint8
    (N, H, W, 3), an array, a memory map or crops, of which one block at a time is read.
    """
    in_process = on_device(sets)
    per_batch = BATCH if in_process else min(BATCH, max(1, TASK_BYTES // max(1, math.prod(images.shape[1:]))))
    starts = range(0, len(images), per_batch)
    batches = (np.array(_opened(images)[start : start + per_batch]) for start in starts)
    if in_process:
        done: Iterable[np.ndarray] = (extract_sets(sets, batch) for batch in batches)
    else:
        done = in_order((delayed(extract_sets)(dict(sets), batch) for batch in batches), workers)
    return track(done, what, total=len(starts), unit="batch") if len(starts) > 1 else iter(done)


def _opened(images: Images) -> Images:
    return remapped(images) if isinstance(images, np.ndarray) else images  # crops open their file for each block


def extract_sets(sets: Mapping[str, Options], images: np.ndarray) -> np.ndarray:
    """The concatenated features of several sets, name → options: float32 (N, D)."""
    return np.concatenate([extract(name, options, images) for name, options in sets.items()], axis=1)


def write_features(
    name: str, options: Options, parts: Mapping[str, Images], workers: int | None, folder: Path = FEATURES
) -> None:
    """Extract one set from all parts and write the folder: PART.npy, (N, D) as `stored`, and features.json.

    Each batch is written when it is done, so that no part is in memory. parts: name (PARTS) → images uint8
    (N, H, W, 3), memory maps or crops of one size. workers: None = all cores; does not change the files.
    """
    numbers = size(name, options, parts["train"].shape[1:])
    with written_folder(folder / name) as partial:
        for part, images in parts.items():
            blocks = extract_blocks({name: options}, images, workers, f"{name} of {part}")
            write_rows(partial / f"{part}.npy", (len(images), numbers), blocks, _known(name).stored)
        write_json(partial / "features.json", {"set": name, "options": options, "size": numbers})


def extract_parallel(name: str, options: Options, images: Images, workers: int | None, what: str) -> np.ndarray:
    """`extract` in worker processes (None: all cores), whose number does not change the result; shows progress `what`.

    images: uint8 (N, H, W, 3), an array, a memory map or crops. Returns float32 (N, D).
    """
    features = np.empty((len(images), size(name, options, images.shape[1:])), dtype=np.float32)
    row = 0
    for block in extract_blocks({name: options}, images, workers, what):
        features[row : row + len(block)] = block
        row += len(block)
    return features


def _known(name: str) -> FeatureSet:
    if name not in FEATURE_SETS:
        raise InputError(f"'{name}' is not a feature set{suggestion(name, FEATURE_SETS)}")
    return FEATURE_SETS[name]
