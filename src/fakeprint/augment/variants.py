"""The variants of images that should get their answer, as arrays."""

import numpy as np

from fakeprint.augment.drawing import Plan
from fakeprint.augment.transforms import apply
from fakeprint.variants import VARIANTS


def variants(images: np.ndarray) -> list[np.ndarray]:
    """The variants of images, in the order of `VARIANTS`: uint8 (N, H, W, 3) each, as the images."""
    plans = [
        Plan(tuple((name, () if name == "flip" else (strength,)) for name, strength in steps.items()))
        for steps in VARIANTS.values()
    ]
    return [np.stack([apply(image, plan) for image in images]) if len(images) else images for plan in plans]
