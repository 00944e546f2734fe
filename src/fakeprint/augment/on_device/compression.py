"""JPEG on a device, as libjpeg-turbo does it: 4:2:0, its "slow" integer transforms, smooth upsampling of colours."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.on_device.tensors import require_full_products

# ITU-T T.81, tables K.1 and K.2
_LUMA_STEPS = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99
"""
_COLOUR_STEPS = """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99
"""


def step_sizes(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The quantisation steps for each quality (1–100), (N, 1), by libjpeg's rule, int32 (N, 128): luma, then colour."""
    tables = np.array([int(step) for step in f"{_LUMA_STEPS} {_COLOUR_STEPS}".split()])
    quality = values.astype(int)
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((percent * tables + 50) // 100, 1, 255).astype(np.int32)


def jpeg(images: Tensor, numbers: Tensor) -> Tensor:
    """Compress and decode images, uint8 (N, H, W, 3). numbers: int32 (N, 128), see `step_sizes`."""
    _, height, width, _ = images.shape
    red, green, blue = images.int().unbind(3)
    centre = (128 << 16) + _HALF - 1
    luma = (_fixed(0.299) * red + _fixed(0.587) * green + _fixed(0.114) * blue + _HALF) >> 16
    blues = (_fixed(0.5) * blue - _fixed(0.16874) * red - _fixed(0.33126) * green + centre) >> 16
    reds = (_fixed(0.5) * red - _fixed(0.41869) * green - _fixed(0.08131) * blue + centre) >> 16
    colours = _halved(torch.stack([blues, reds], 1).flatten(0, 1))
    luma, colours = _compressed([luma, colours], numbers.view(-1, 2, 1, 8, 8))
    colours = _enlarged(colours[:, :, : -(-width // 2)])[:, :height, :width] - 128
    blues, reds = colours.unflatten(0, (-1, 2)).unbind(1)
    red = luma + ((_fixed(1.402) * reds + _HALF) >> 16)
    green = luma + ((-_fixed(0.34414) * blues - _fixed(0.71414) * reds + _HALF) >> 16)
    blue = luma + ((_fixed(1.772) * blues + _HALF) >> 16)
    return torch.stack([red, green, blue], 3).clamp(0, 255).to(torch.uint8)


_HALF = 1 << 15


def _fixed(number: float) -> int:
    """In fixed point, 16 fractional bits."""
    return round(number * (1 << 16))


def _padded(planes: Tensor, height: int, width: int) -> Tensor:
    """Planes (N, H, W) made larger by repeating their last row and column."""
    rows = torch.arange(height, device=planes.device).clamp(max=planes.shape[1] - 1)
    columns = torch.arange(width, device=planes.device).clamp(max=planes.shape[2] - 1)
    return planes.index_select(1, rows).index_select(2, columns)


def _halved(planes: Tensor) -> Tensor:
    """The mean of every 2×2 pixels; libjpeg first fills the right side up to whole blocks of 8."""
    rows, blocks = -(-planes.shape[1] // 2), -(-planes.shape[2] // 16)
    squares = _padded(planes, 2 * rows, 16 * blocks).view(-1, rows, 2, 8 * blocks, 2)
    bias = 1 + torch.arange(8 * blocks, device=planes.device, dtype=torch.int32) % 2
    (upper_left, upper_right), (lower_left, lower_right) = (row.unbind(3) for row in squares.unbind(2))
    return (upper_left + upper_right + lower_left + lower_right + bias) >> 2


def _enlarged(planes: Tensor) -> Tensor:
    """Twice as high and wide: each pixel 3/4 of the nearer and 1/4 of the further one, in both directions."""
    above, below = _neighbours(planes, 1)
    rows = torch.stack([3 * planes + above, 3 * planes + below], 2).flatten(1, 2)
    left, right = _neighbours(rows, 2)
    return torch.stack([(3 * rows + left + 8) >> 4, (3 * rows + right + 7) >> 4], 3).flatten(2, 3)


def _neighbours(planes: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The neighbours before and after each place along an axis; at the ends, the place itself."""
    length = planes.shape[axis]
    first, last = planes.narrow(axis, 0, 1), planes.narrow(axis, length - 1, 1)
    return (
        torch.cat([first, planes.narrow(axis, 0, length - 1)], axis),
        torch.cat([planes.narrow(axis, 1, length - 1), last], axis),
    )


# √8 · the cosine transform, 13 fractional bits: sums of the rounded constants of libjpeg's jfdctint.c and
# jidctint.c (after Loeffler, Ligtenberg and Moschytz 1989), which differ from rounded cosines in the last bit.
_COSINES = [
    [8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192],
    [11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363],
    [10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703],
    [9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633],
    [8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192],
    [6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437],
    [4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433],
    [2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260],
]


@functools.cache
def _cosines(device: torch.device) -> Tensor:
    return torch.tensor(_COSINES, dtype=torch.float32, device=device)


def _compressed(kinds: Sequence[Tensor], steps: Tensor) -> list[Tensor]:
    """Planes (M, H, W) of several kinds, each of its own size, after transform, quantisation and back.

    steps: (N, kinds, 1, 8, 8). Each image has the same number of planes of a kind.
    """
    cut = [_blocks(planes) for planes in kinds]
    of_images = [blocks.view(len(steps), -1, 8, 8) for blocks in cut]
    counts = [blocks.shape[1] for blocks in of_images]
    sizes = [steps[:, kind].expand(-1, count, 8, 8) for kind, count in enumerate(counts)]
    done = _quantised(torch.cat(of_images, 1), torch.cat(sizes, 1)).split(counts, 1)
    whole = [_joined(part.reshape(blocks.shape)) for part, blocks in zip(done, cut, strict=True)]
    return [planes[:, : given.shape[1], : given.shape[2]] for planes, given in zip(whole, kinds, strict=True)]


def _blocks(planes: Tensor) -> Tensor:
    """Planes (M, H, W) as contiguous blocks (M, rows, columns, 8, 8), padded at the bottom and on the right."""
    rows, columns = -(-planes.shape[1] // 8), -(-planes.shape[2] // 8)
    return _padded(planes, 8 * rows, 8 * columns).view(-1, rows, 8, columns, 8).transpose(2, 3).contiguous()


def _joined(blocks: Tensor) -> Tensor:
    """Planes again from what `_blocks` returned."""
    return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _quantised(blocks: Tensor, steps: Tensor) -> Tensor:
    """Blocks (…, 8, 8) of 0–255 through the transform, their coefficients rounded to multiples of `steps`, and back.

    The first direction leaves 2 fractional bits to the second. Coefficients are 8 times too large, their halves rounded
    away from 0.
    """
    cosines = _cosines(blocks.device)
    blocks = _descaled(_exactly(lambda values: values @ cosines.T, blocks - 128), 11)
    blocks = _descaled(_exactly(lambda values: cosines @ values, blocks), 15)
    blocks = blocks.sign() * (blocks.abs() + 4 * steps).div(8 * steps, rounding_mode="floor") * steps
    blocks = _descaled(_exactly(lambda values: cosines.T @ values, blocks), 11)
    blocks = _descaled(_exactly(lambda values: values @ cosines, blocks), 18)
    return (blocks + 128).clamp(0, 255)


def _exactly(product: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """The product of a matrix and values, int32, up to 2¹⁶: each byte apart, so that float32 holds every sum."""
    require_full_products(values.device)
    with torch.autocast(values.device.type, enabled=False):
        high, low = product((values >> 8).float()), product((values & 0xFF).float())
    return (high.int() << 8) + low.int()


def _descaled(values: Tensor, bits: int) -> Tensor:
    return (values + (1 << (bits - 1))) >> bits
