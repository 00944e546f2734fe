"""Rectangles erased on a device."""

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.drawing import MEAN
from fakeprint.augment.on_device.noise import hashed
from fakeprint.augment.on_device.tensors import column, rounded
from fakeprint.augment.transforms import rectangle


def rectangles(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Of each image, int32 (N, 5): first row and column, number of rows and columns, seed (−1 = the mean colour)."""
    return np.array(
        [
            (*rectangle(height, width, *given), -1 if seed == MEAN else int(seed * 2**31))
            for *given, seed in values.tolist()
        ],
        dtype=np.int32,
    )


def erasing(images: Tensor, numbers: Tensor) -> Tensor:
    """Fill the rectangle of each image, uint8 (N, H, W, 3), with its mean colour or random values."""
    _, height, width, _ = images.shape
    top, left, tall, wide, seeds = numbers.long().unbind(1)
    mean = rounded(images.sum((1, 2), dtype=torch.int64) / (height * width))
    drawn = (hashed(seeds.int(), images[0].numel()) >> 8 & 0xFF).to(torch.uint8).view(images.shape)
    filling = torch.where(column(seeds) < 0, mean[:, None, None], drawn)
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    down, across = (rows >= 0) & (rows < tall[:, None]), (columns >= 0) & (columns < wide[:, None])
    return torch.where((down[:, :, None] & across[:, None, :])[..., None], filling, images)
