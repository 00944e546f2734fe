"""Mixup and CutMix: images of a batch mixed with their neighbours, on the device."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fakeprint import seeds
from fakeprint.training.losses import Targets

# "mixup" or "cutmix", the share of the image itself, the centre of the box across and down
Mix = tuple[str, float, float, float]


@dataclass(frozen=True)
class Mixing:
    """How batches are mixed.

    mixup, cutmix: α of the Beta(α, α) that the share is drawn from, 0 = off; with both on, each batch gets either with
    the same probability. p: of a batch being mixed at all.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    p: float = 1.0

    def draw(self, batches: int, seed: int, purpose: str, epoch: int) -> Sequence[Mix | None]:
        """The mix of each batch of an epoch; it depends only on seed, purpose, epoch and the batch's number."""
        alphas = [(kind, alpha) for kind, alpha in (("mixup", self.mixup), ("cutmix", self.cutmix)) if alpha]
        if not alphas:
            return [None] * batches
        generators = (seeds.generator(seed, f"{purpose}/mix", epoch, batch) for batch in range(batches))
        return [self._one(alphas, rng) for rng in generators]

    def _one(self, alphas: list[tuple[str, float]], rng: np.random.Generator) -> Mix | None:
        """One mix for all images of a batch, as in both papers' own code."""
        chance, which, across, down = rng.random(4)
        if chance >= self.p:
            return None
        kind, alpha = alphas[int(which * len(alphas))]
        return kind, float(rng.beta(alpha, alpha)), float(across), float(down)


def mixed(images: Tensor, labels: Tensor, mix: Mix | None) -> tuple[Tensor, Targets]:
    """A batch, float (N, 3, H, W), mixed with itself shifted by one image, and its targets.

    mixup: share · image + (1 − share) · neighbour (Zhang et al. 2018). cutmix: a box of the neighbour replaces that of
    the image, its sides √(1 − share) of the image's, cut at the border; the share is then what is left (Yun et al.
    2019).
    """
    if mix is None:
        return images, Targets(labels)
    kind, share, across, down = mix
    # As `roll`, which on a GPU would change the memory layout.
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
    """The first pixel of the box, and the first one after it."""
    half = int(length * math.sqrt(1 - share)) // 2
    middle = int(centre * length)
    return max(middle - half, 0), min(middle + half, length)
