"""Scaling down and up again on a device."""

import math

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.on_device.tensors import bits, column, floats
from fakeprint.augment.transforms import smaller


def scalings(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Of each factor, (N, 1), 1 if halves are rounded up, then the tables of columns and of rows; see `_scaling`.

    OpenCV rounds halves up if it halves both sides exactly, otherwise to the even number.
    """
    sides = np.array([smaller(height, width, factor) for (factor,) in values.tolist()])
    halves_up = (2 * sides == (height, width)).all(1, keepdims=True)
    taps = max(math.ceil(length / side) + 1 for length, side in zip((height, width), sides.min(0), strict=True))
    tables = [_scaling(small, length, taps) for small, length in zip(sides.T, (height, width), strict=True)]
    return np.concatenate([halves_up, *(table.reshape(len(values), -1) for table in tables)], axis=1).astype(np.int32)


def _scaling(small: np.ndarray, length: int, taps: int) -> np.ndarray:
    """The table of a side scaled to `small` pixels (N,) and back, int32 (N, length, taps + 5), as OpenCV's `resize`.

    Down: the first of the averaged pixels and the share of each, 0 beyond the small side. Up: the two neighbours and
    their weights in 1/2048.
    """
    small = small[:, None]
    places, size = np.arange(length), length / small
    start, end = places * size, np.minimum((places + 1) * size, length)
    first = np.floor(start)
    covered = [np.minimum(first + tap + 1, end) - np.maximum(first + tap, start) for tap in range(taps)]
    shares = [bits(np.where(cover > 1e-3, cover / size, 0)) for cover in covered]
    place = (places + 0.5) * (small / length) - 0.5
    left = np.clip(np.floor(place), 0, small - 1)
    past = np.where(left < small - 1, np.maximum(place - left, 0), 0).astype(np.float32)
    weights = [np.rint(weight * 2048) for weight in (1 - past, past)]
    up = [left, np.minimum(left + 1, small - 1), *weights]
    return np.stack([np.minimum(first, length - 1), *shares, *up], axis=2).astype(np.int32)


def rescale(images: Tensor, numbers: Tensor) -> Tensor:
    """Scale images, uint8 (N, H, W, 3), down by area and up by linear interpolation. numbers: see `scalings`."""
    count, height, width, _ = images.shape
    each = (numbers.shape[1] - 1) // (height + width)
    halves_up, of_columns, of_rows = numbers.split([1, each * height, each * width], 1)
    of_columns, of_rows = of_columns.reshape(count, height, each), of_rows.reshape(count, width, each)
    means = _averaged(_averaged(images.float(), of_rows, 2), of_columns, 1)
    small = torch.where(column(halves_up) > 0, (means + 0.5).floor(), means.round()).int()
    # Weights of 11 bits, and these shifts before and after the second sum, are OpenCV's.
    left, right = _around(small, of_rows, 2)
    above, below = _around((left + right) >> 4, of_columns, 1)
    return (((above >> 16) + (below >> 16) + 2) >> 2).clamp(0, 255).to(torch.uint8)


def _averaged(values: Tensor, table: Tensor, axis: int) -> Tensor:
    """Weighted sums of the pixels that the table names, along an axis of values (N, H, W, 3)."""
    length, taps = table.shape[1], table.shape[2] - 5
    first, shares = table[:, :, 0].long(), floats(table[:, :, 1 : 1 + taps])
    total = torch.zeros_like(values)
    for tap in range(taps):
        taken = _taken(values, (first + tap).clamp(max=length - 1), axis)
        total += taken * _along(shares[:, :, tap], axis)
    return total


def _around(values: Tensor, table: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The two neighbours that the table names, times their weights, along an axis of values (N, H, W, 3)."""
    first, second, first_weight, second_weight = table[:, :, -4:].unbind(2)
    return (
        _taken(values, first.long(), axis) * _along(first_weight, axis),
        _taken(values, second.long(), axis) * _along(second_weight, axis),
    )


def _taken(values: Tensor, places: Tensor, axis: int) -> Tensor:
    """The values of each image, (N, H, W, 3), at its places, int64 (N, M), along an axis."""
    return torch.take_along_dim(values, _along(places, axis), axis)


def _along(numbers: Tensor, axis: int) -> Tensor:
    """Numbers (N, M) in a shape that broadcasts over images along an axis: 1 (rows) or 2 (columns)."""
    return numbers[:, :, None, None] if axis == 1 else numbers[:, None, :, None]
