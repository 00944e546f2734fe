"""Mixup and CutMix: images of a batch mixed with their neighbours, on the device."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fakeprint import seeds
from fakeprint.params import Train
from fakeprint.training.losses import Targets

Mix = tuple[
    str, float, float, float
]  # mixup or cutmix, the share of the image itself, the box's centre across and down


def mixes(train: Train, batches: int, seed: int, purpose: str, epoch: int) -> Sequence[Mix | None]:
    """What is done to each batch of an epoch; it depends on seed, purpose, epoch and the batch's number alone."""
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(train, kind)]
    if not kinds:
        return [None] * batches
    return [_drawn(train, kinds, seeds.generator(seed, f"{purpose}/mix", epoch, batch)) for batch in range(batches)]


def _drawn(train: Train, kinds: list[str], rng: np.random.Generator) -> Mix | None:
    """One mix of a batch for all its images, as in both papers' own code."""
    chance, which, across, down = rng.random(4)
    if chance >= train.mix_p:
        return None
    kind = kinds[int(which * len(kinds))]
    alpha = getattr(train, kind)
    return kind, float(rng.beta(alpha, alpha)), float(across), float(down)


def mixed(images: Tensor, labels: Tensor, mix: Mix | None) -> tuple[Tensor, Targets]:
    """A batch, float (N, 3, H, W), mixed with itself moved on by one image, and its targets.

    mixup: share · image + (1 − share) · neighbour (Zhang et al. 2018). cutmix: a box of the neighbour in the image's
    place, its sides √(1 − share) of the image's, cut at the border; the share is then what is left (Yun et al. 2019).
    """
    if mix is None:
        return images, Targets(labels)
    kind, share, across, down = mix
    # As `roll`, which on a GPU would lay the channels out anew.
    neighbours, others = torch.empty_like(images), labels.roll(1)
    neighbours[:1], neighbours[1:] = images[-1:], images[:-1]
    if kind == "mixup":
        return neighbours.lerp_(images, share), Targets(labels, others, share)
    height, width = images.shape[2:]
    top, bottom = _side(height, share, down)
    left, right = _side(width, share, across)
    images = images.clone()
    images[:, :, top:bottom, left:right] = neighbours[:, :, top:bottom, left:right]
    return images, Targets(labels, others, 1 - (bottom - top) * (right - left) / (height * width))


def _side(length: int, share: float, centre: float) -> tuple[int, int]:
    """First pixel of the box, and the first behind it."""
    half = int(length * math.sqrt(1 - share)) // 2
    middle = int(centre * length)
    return max(middle - half, 0), min(middle + half, length)
