"""Variants of an image that should get its answer: mirrored, compressed, and scaled down and up again."""

from collections.abc import Mapping

import numpy as np

from fakeprint.augment.transforms import Plan, apply
from fakeprint.params import Params

# transform → strength, as in robustness.grid, whose names cannot hold a slash; a flip has no strength
VARIANTS: dict[str, Mapping[str, float]] = {
    "variants/mirrored": {"flip": 1},
    "variants/jpeg_75": {"jpeg": 75},
    "variants/rescale_0.8": {"rescale": 0.8},
}


def variants(images: np.ndarray) -> list[np.ndarray]:
    """The variants of images, in the order of `VARIANTS`: uint8 (N, H, W, 3) each, as the images."""
    plans = [
        Plan(tuple((name, () if name == "flip" else (strength,)) for name, strength in steps.items()))
        for steps in VARIANTS.values()
    ]
    return [np.stack([apply(image, plan) for image in images]) if len(images) else images for plan in plans]


def degradations(settings: Params) -> dict[str, Mapping[str, float]]:
    """Degradations by name that models predict: robustness.grid, and the variants where decide.consistency asks."""
    return {**settings.robustness.grid, **(VARIANTS if settings.decide.consistency else {})}


def is_variant(cell: str) -> bool:
    """Whether a degradation of this name is a variant."""
    return cell in VARIANTS
