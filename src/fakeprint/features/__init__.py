"""Feature sets: pure functions from images to numbers, one image at a time, so that batches change nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import delayed

from fakeprint.errors import InputError
from fakeprint.features import backbone, colour, residual, spectrum
from fakeprint.parallel import in_order
from fakeprint.params import near
from fakeprint.progress import track

BATCH = 250  # images a task of the pool: small enough for a live progress bar, large enough to hide the hand-over

Options = dict[str, Any]


@dataclass(frozen=True)
class FeatureSet:
    """One set: `describe(image uint8 (H, W, 3) RGB, **options)` gives its numbers, float32 (D,)."""

    summary: str
    source: str
    describe: Callable[..., np.ndarray]


FEATURE_SETS: dict[str, FeatureSet] = {
    "rgb_hist": FeatureSet("joint RGB histogram, bins a channel", "Swain and Ballard 1991", colour.rgb_hist),
    "hsv_hist": FeatureSet("HSV histogram, each channel on its own", "Swain and Ballard 1991", colour.hsv_hist),
    "hsv_joint": FeatureSet("joint HSV histogram, bins a channel", "Swain and Ballard 1991", colour.hsv_joint),
    "pixels": FeatureSet("the image itself, shrunk", "the usual baseline", colour.pixels),
    "residual": FeatureSet(
        "co-occurrences of truncated pixel differences, a channel and across channels",
        "SPAM (Pevný, Bas and Fridrich 2010), SRM (Fridrich and Kodovský 2012)",
        residual.residual,
    ),
    "spectrum": FeatureSet(
        "azimuthally averaged log power spectrum of the image and of its median residual",
        "Durall, Keuper and Keuper 2020",
        spectrum.spectrum,
    ),
    "backbone": FeatureSet(
        "pooled features of a pretrained network of timm", "Sharif Razavian et al. 2014; system D", backbone.backbone
    ),
}


def extract(name: str, options: Options, images: np.ndarray) -> np.ndarray:
    """The features of a batch, on one core.

    images: uint8 (N, H, W, 3) RGB. Returns float32 (N, D). Row i depends on image i alone, bit for bit.
    Raises InputError for an unknown set, and where the set can not describe images of this size.
    """
    feature_set = _known(name)
    if not len(images):
        return np.zeros((0, size(name, options, images.shape[1:])), dtype=np.float32)
    return np.stack([feature_set.describe(image, **options) for image in images])


def size(name: str, options: Options, image_shape: tuple[int, ...]) -> int:
    """D of a set for images of this shape (H, W, 3)."""
    return len(_known(name).describe(np.zeros(image_shape, dtype=np.uint8), **options))


def extract_parallel(name: str, options: Options, images: np.ndarray, workers: int | None, what: str) -> np.ndarray:
    """`extract` over processes, with progress called `what`; the number of workers (None: all cores) changes nothing.

    images: uint8 (N, H, W, 3), an array or a memory map. Returns float32 (N, D).
    """
    features = np.empty((len(images), size(name, options, images.shape[1:])), dtype=np.float32)
    for row, numbers in enumerate(track(_rows(name, options, images, workers), what, total=len(images))):
        features[row] = numbers
    return features


def _rows(name: str, options: Options, images: np.ndarray, workers: int | None) -> Iterator[np.ndarray]:
    starts = range(0, len(images), BATCH)
    # Starting processes costs a second: not for what one core does in that time.
    processes = 1 if len(starts) <= 1 else workers
    tasks = (delayed(extract)(name, options, images[start : start + BATCH]) for start in starts)
    for batch in in_order(tasks, processes):
        yield from batch


def _known(name: str) -> FeatureSet:
    if name not in FEATURE_SETS:
        raise InputError(f"'{name}' is not a feature set{near(name, FEATURE_SETS)}")
    return FEATURE_SETS[name]
