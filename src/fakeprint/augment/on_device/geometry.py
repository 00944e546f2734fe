"""Geometric transforms on a device: one movement for all of them."""

import torch
from torch import Tensor

from fakeprint.augment.on_device.tensors import floats, reflected, rounded


def move_by_pixels(images: Tensor, numbers: Tensor, fill: str) -> Tensor:
    """Mirror images or not, then move them by whole pixels. numbers: int (N, 3): mirrored, pixels right and down."""
    _, height, width, _ = images.shape
    flipped, right, down = numbers.long().unsqueeze(2).unbind(1)
    across = torch.arange(width, device=images.device) - right
    along = torch.arange(height, device=images.device) - down
    columns = _within(across, width, fill)
    columns = torch.where(flipped > 0, width - 1 - columns, columns)
    moved = _pixels(images, _within(along, height, fill)[:, :, None], columns[:, None, :])
    if fill != "black":
        return moved
    inside = _inside(along, height)[:, :, None] & _inside(across, width)[:, None, :]
    return moved * inside[..., None]


def _within(places: Tensor, length: int, fill: str) -> Tensor:
    """Places on a line, int64; one outside [0, length) becomes the place whose pixel fills it."""
    return reflected(places, length) if fill == "reflect" else places.clamp(0, length - 1)


def _inside(places: Tensor, length: int) -> Tensor:
    return (places >= 0) & (places < length)


def _pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of each image at these rows and columns, int64 (N, …) that broadcast; returns (N, …, 3)."""
    each = torch.arange(len(images), device=images.device).view(-1, *[1] * (rows.dim() - 1))
    return images[each, rows, columns]


def warp(images: Tensor, numbers: Tensor, interpolation: str, fill: str) -> Tensor:
    """Warp images. numbers: (N, 6), the matrix from output to input pixel, row by row."""
    _, height, width, _ = images.shape
    a, b, x, c, d, y = floats(numbers)[:, :, None, None].unbind(1)
    right = torch.arange(width, device=images.device, dtype=torch.float32)
    down = torch.arange(height, device=images.device, dtype=torch.float32)[:, None]
    across, along = a * right + (b * down + x), c * right + (d * down + y)
    beside = _taps(across, width, interpolation, fill)
    total = torch.zeros(images.shape, device=images.device)
    for row, row_weight in _taps(along, height, interpolation, fill):
        line = torch.zeros_like(total)
        for column, weight in beside:
            line += _pixels(images, row, column) * weight[..., None]
        total += line * row_weight[..., None]
    return rounded(total)


def _taps(places: Tensor, length: int, interpolation: str, fill: str) -> list[tuple[Tensor, Tensor]]:
    """The pixels of a line, int64, that interpolate these places, float32, each with its weight."""
    if interpolation == "nearest":
        first = (places + 0.5).floor()
        weights = [torch.ones_like(places)]
    else:
        before = places.floor()
        past = places - before
        first, weights = (before, [1 - past, past]) if interpolation == "bilinear" else (before - 1, _cubic(past))
    pixels = [first.long() + number for number in range(len(weights))]
    if fill == "black":
        weights = [weight * _inside(pixel, length) for pixel, weight in zip(pixels, weights, strict=True)]
    return [(_within(pixel, length, fill), weight) for pixel, weight in zip(pixels, weights, strict=True)]


def _cubic(past: Tensor) -> list[Tensor]:
    """Bicubic weights, a = −0.75, of the four pixels around a place that is `past` in [0, 1) after the second one.

    Source: Keys 1981.
    """
    a, rest = -0.75, 1 - past
    first = ((a * (past + 1) - 5 * a) * (past + 1) + 8 * a) * (past + 1) - 4 * a
    second = ((a + 2) * past - (a + 3)) * past * past + 1
    third = ((a + 2) * rest - (a + 3)) * rest * rest + 1
    return [first, second, third, 1 - first - second - third]
