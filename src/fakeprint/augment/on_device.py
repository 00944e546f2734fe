"""The transforms of `transforms.py` on a whole batch that lies on a device: the same plans, many images at once.

`together` groups the plans of a batch by transform, on the host, into one small tensor; `apply_batch` does what they
say with tensor operations alone: nothing is read back, and the host never waits for the device. What an image becomes
does not depend on the other images of its batch: sums are of integers, or taken in a fixed order.

How each result is computed follows what OpenCV (5.0) and its libjpeg-turbo do, roundings included; docs/models.md says
how close the two are. Values that are drawn for each pixel (noise, erasing's random filling) come from another
generator than on a CPU: counters hashed with the seed that the plan gives the image, so that the same plan gives the
same values, on every device to within the rounding of its logarithm and cosine.
"""

import functools
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.transforms import GEOMETRIC, MEAN, Plan, in_whole_pixels, movement, rectangle, smaller
from fakeprint.params import Fill, Interpolation, Transforms

Values = Sequence[tuple[float, ...]]  # of one transform, an image each


def unsupported(transforms: Transforms) -> list[str]:
    """The enabled transforms that are done on a CPU alone, by name."""
    enabled = [name for name in Transforms.model_fields if getattr(transforms, name).enabled]
    return [name for name in enabled if name not in (*GEOMETRIC, *_PIXELWISE)]


@dataclass(frozen=True)
class BatchPlan:
    """The plans of a batch, grouped by transform in the order of application.

    groups: (operation, how many images, how many numbers an image). packed: int32 (their sum,), on the host: of each
    group the images' places in the batch, then their numbers, image by image; a float32 as the int32 of the same bits.
    """

    groups: tuple[tuple[str, int, int], ...]
    packed: Tensor


def together(plans: Sequence[Plan], height: int, width: int) -> BatchPlan:
    """One plan an image of a batch, all of this height and width in pixels, as one.

    Raises KeyError for a transform that `unsupported` names.
    """
    groups, packed = [], [np.empty(0, np.int32)]
    for operation, places, numbers in [*_movements(plans, height, width), *_pixelwise(plans, height, width)]:
        groups.append((operation, *numbers.shape))
        packed += [np.array(places, dtype=np.int32), numbers.ravel()]
    return BatchPlan(tuple(groups), torch.from_numpy(np.concatenate(packed)))


Group = tuple[str, list[int], np.ndarray]  # operation, places, numbers int32 (places, numbers an image)


def _movements(plans: Sequence[Plan], height: int, width: int) -> list[Group]:
    """Each image's geometric transforms as one movement: by whole pixels where that is all, else a warp.

    The operation's name says what comes in, and of a warp how it interpolates.
    """
    places: dict[str, list[int]] = {}
    numbers: dict[str, list[np.ndarray]] = {}
    for place, plan in enumerate(plans):
        moves = [step for step in plan.steps if step[0] in GEOMETRIC]
        if not moves:
            continue
        matrix = movement(height, width, moves)
        whole = in_whole_pixels(matrix, width)
        fill, interpolation = plan.warp.fill, plan.warp.interpolation
        kind = f"warp {interpolation} {fill}" if whole is None else f"whole {fill}"
        places.setdefault(kind, []).append(place)
        numbers.setdefault(kind, []).append(
            _bits(np.linalg.inv(matrix)[:2].ravel()) if whole is None else np.array(whole, np.int32)
        )
    return [(kind, places[kind], np.stack(numbers[kind])) for kind in places]


def _pixelwise(plans: Sequence[Plan], height: int, width: int) -> list[Group]:
    """The other transforms; plans in the order of application, as they are drawn, need a group a transform."""
    waiting = [deque(step for step in plan.steps if step[0] not in GEOMETRIC) for plan in plans]
    groups = []
    while any(waiting):
        unknown = {steps[0][0] for steps in waiting if steps} - set(_PIXELWISE)
        if unknown:
            raise KeyError(f"{min(unknown)} is done on a CPU alone")
        for name, (numbers, _) in _PIXELWISE.items():
            places = [place for place, steps in enumerate(waiting) if steps and steps[0][0] == name]
            if places:
                values = [waiting[place].popleft()[1] for place in places]
                groups.append((name, places, numbers(values, height, width)))
    return groups


def _bits(floats: np.ndarray) -> np.ndarray:
    """float32 numbers as the int32 of the same bits."""
    return floats.astype(np.float32).view(np.int32)


def _floats(numbers: Tensor) -> Tensor:
    """What `_bits` packed, as float32 of the same shape."""
    return numbers.contiguous().view(torch.float32)


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor of the host on the device; the host does not wait until it is there."""
    pinned = tensor.pin_memory() if torch.device(device).type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)


@torch.no_grad()
def apply_batch(images: Tensor, plan: BatchPlan) -> Tensor:
    """Do what the plan says to a batch, uint8 (N, H, W, 3) RGB on any device. Returns a new tensor of that kind."""
    images = images.clone()
    parts = [size for _, count, width in plan.groups for size in (count, count * width)]
    packed = sent(plan.packed, images.device).split(parts)
    for (operation, count, width), places, numbers in zip(plan.groups, packed[::2], packed[1::2], strict=True):
        places = places.long()
        done = _OPERATIONS[operation](images.index_select(0, places), numbers.view(count, width))
        images.index_copy_(0, places, done)
    return images


def _rounded(values: Tensor) -> Tensor:
    """To the nearest of 0–255, halves to the even one, as OpenCV's saturate_cast."""
    return values.round().clamp(0, 255).to(torch.uint8)


def _column(numbers: Tensor, dimensions: int = 4) -> Tensor:
    """One number an image, (N,), so that it broadcasts over what each image holds."""
    return numbers.view(-1, *[1] * (dimensions - 1))


def _reflected(places: Tensor, length: int) -> Tensor:
    """Places on a line, int64, brought into [0, length) by mirroring without repeating the edge."""
    period = max(1, 2 * (length - 1))
    places = places.remainder(period)
    return torch.minimum(places, period - places) if length > 1 else places


# --- Geometric transforms: one movement for all of them.


def _whole(images: Tensor, numbers: Tensor, fill: str) -> Tensor:
    """Mirrored or not, then moved by whole pixels."""
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
    """Places on a line, int64, brought into [0, length): of what lies outside, the one whose pixel comes in."""
    return _reflected(places, length) if fill == "reflect" else places.clamp(0, length - 1)


def _inside(places: Tensor, length: int) -> Tensor:
    return (places >= 0) & (places < length)


def _pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Of each image the pixels at these rows and columns, int64 (N, …) that broadcast; (N, …, 3)."""
    each = torch.arange(len(images), device=images.device).view(-1, *[1] * (rows.dim() - 1))
    return images[each, rows, columns]


def _warp(images: Tensor, numbers: Tensor, interpolation: str, fill: str) -> Tensor:
    """`numbers` is the matrix from output to input pixel, row by row."""
    _, height, width, _ = images.shape
    a, b, x, c, d, y = _floats(numbers)[:, :, None, None].unbind(1)
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
    return _rounded(total)


def _taps(places: Tensor, length: int, interpolation: str, fill: str) -> list[tuple[Tensor, Tensor]]:
    """The pixels of a line, int64, that make up what lies at these places, float32, each with its weight."""
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
    """Bicubic weights, a = −0.75, of the four pixels around a place that lies `past` in [0, 1) behind the second one.

    (Keys 1981)
    """
    a, rest = -0.75, 1 - past
    first = ((a * (past + 1) - 5 * a) * (past + 1) + 8 * a) * (past + 1) - 4 * a
    second = ((a + 2) * past - (a + 3)) * past * past + 1
    third = ((a + 2) * rest - (a + 3)) * rest * rest + 1
    return [first, second, third, 1 - first - second - third]


# --- Photometric transforms


def _as_floats(values: Values, height: int, width: int) -> np.ndarray:
    return _bits(np.array(values))


def _brightness(images: Tensor, numbers: Tensor) -> Tensor:
    return _rounded(images * _column(_floats(numbers)))


def _contrast(images: Tensor, numbers: Tensor) -> Tensor:
    factor = _column(_floats(numbers))
    red, green, blue = (images.sum((1, 2), dtype=torch.int64) / images[0, ..., 0].numel()).unbind(1)
    luma = _column(0.299 * red + 0.587 * green + 0.114 * blue)
    return _rounded(images * factor + (1 - factor) * luma)


def _saturation(images: Tensor, numbers: Tensor) -> Tensor:
    """OpenCV's `transform` rounds its matrix to 1/1024."""
    factor = _floats(numbers)
    luma = [0.299, 0.587, 0.114]
    given = images.int().unbind(3)
    out = []
    for to in range(3):
        weights = [((1 - factor) * share + factor * (to == source)) * 1024 for source, share in enumerate(luma)]
        shares = [channel * _column(weight.round().int(), 3) for channel, weight in zip(given, weights, strict=True)]
        out.append((shares[0] + shares[1] + shares[2] + 512) >> 10)
    return torch.stack(out, 3).clamp(0, 255).to(torch.uint8)


def _hue(images: Tensor, numbers: Tensor) -> Tensor:
    """To HSV, turned, and back (Smith 1978)."""
    degrees = _column(_floats(numbers), 3)
    red, green, blue = images.float().unbind(3)
    value, least = images.amax(3).float(), images.amin(3).float()
    spread = value - least
    sixth = 60 / spread.clamp(min=1)  # values are whole: a spread below 1 is 0, and so is what it multiplies
    of_red, of_green, of_blue = (green - blue) * sixth, (blue - red) * sixth + 120, (red - green) * sixth + 240
    hue = torch.where(value == red, of_red, torch.where(value == green, of_green, of_blue)) + degrees
    channels = []
    for start in (5, 3, 1):
        way = (start + hue / 60).remainder(6)
        channels.append(value - spread * torch.minimum(way, 4 - way).clamp(0, 1))
    return torch.where(degrees[..., None] == 0, images, _rounded(torch.stack(channels, 3)))


# --- JPEG, as libjpeg-turbo does it: 4:2:0, its "slow" integer transforms, smooth upsampling of the colours.

# ITU-T T.81, tables K.1 and K.2
_LUMA_STEPS = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99
"""
_COLOUR_STEPS = """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99
"""


def _step_sizes(values: Values, height: int, width: int) -> np.ndarray:
    """The two tables scaled to each image's quality (1–100) by libjpeg's rule, one behind the other."""
    tables = np.array([int(step) for step in f"{_LUMA_STEPS} {_COLOUR_STEPS}".split()])
    percent = [5000 // int(quality) if quality < 50 else 200 - 2 * int(quality) for (quality,) in values]
    return np.clip((np.outer(percent, tables) + 50) // 100, 1, 255).astype(np.int32)


def _jpeg(images: Tensor, numbers: Tensor) -> Tensor:
    """`numbers` are the quantisation steps, 64 of luma and 64 of colour."""
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
    """With 16 bits behind the point."""
    return round(number * (1 << 16))


def _padded(planes: Tensor, height: int, width: int) -> Tensor:
    """Planes (N, H, W) made larger by repeating their last row and column."""
    rows = torch.arange(height, device=planes.device).clamp(max=planes.shape[1] - 1)
    columns = torch.arange(width, device=planes.device).clamp(max=planes.shape[2] - 1)
    return planes.index_select(1, rows).index_select(2, columns)


def _halved(planes: Tensor) -> Tensor:
    """The mean of every 2×2 pixels. On the right as many columns as fill blocks of 8: libjpeg fills them before."""
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
    """What lies before and behind each place along an axis, at its ends the place itself."""
    length = planes.shape[axis]
    first, last = planes.narrow(axis, 0, 1), planes.narrow(axis, length - 1, 1)
    return (
        torch.cat([first, planes.narrow(axis, 0, length - 1)], axis),
        torch.cat([planes.narrow(axis, 1, length - 1), last], axis),
    )


# √8 · the cosine transform, 13 bits behind the point: sums of the rounded constants of libjpeg's jfdctint.c and
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
    """Planes (M, H, W) of several kinds after transform, quantisation and back, each kind of its own size.

    steps: (N, kinds, 1, 8, 8), a whole number of planes of each kind an image.
    """
    cut = [_blocks(planes) for planes in kinds]
    of_images = [blocks.view(len(steps), -1, 8, 8) for blocks in cut]
    counts = [blocks.shape[1] for blocks in of_images]
    sizes = [steps[:, kind].expand(-1, count, 8, 8) for kind, count in enumerate(counts)]
    done = _quantised(torch.cat(of_images, 1), torch.cat(sizes, 1)).split(counts, 1)
    whole = [_joined(part.reshape(blocks.shape)) for part, blocks in zip(done, cut, strict=True)]
    return [planes[:, : given.shape[1], : given.shape[2]] for planes, given in zip(whole, kinds, strict=True)]


def _blocks(planes: Tensor) -> Tensor:
    """Planes (M, H, W) as contiguous blocks (M, rows, columns, 8, 8), filled up at the bottom and on the right."""
    rows, columns = -(-planes.shape[1] // 8), -(-planes.shape[2] // 8)
    return _padded(planes, 8 * rows, 8 * columns).view(-1, rows, 8, columns, 8).transpose(2, 3).contiguous()


def _joined(blocks: Tensor) -> Tensor:
    """What `_blocks` cut."""
    return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _quantised(blocks: Tensor, steps: Tensor) -> Tensor:
    """Blocks (…, 8, 8) of 0–255 through the transform, their coefficients rounded to multiples of `steps`, and back.

    Of the bits behind the point, the first direction leaves 2 to the second. Coefficients are 8 times too large, their
    halves rounded away from 0.
    """
    cosines = _cosines(blocks.device)
    blocks = _descaled(_exactly(lambda values: values @ cosines.T, blocks - 128), 11)
    blocks = _descaled(_exactly(lambda values: cosines @ values, blocks), 15)
    blocks = blocks.sign() * (blocks.abs() + 4 * steps).div(8 * steps, rounding_mode="floor") * steps
    blocks = _descaled(_exactly(lambda values: cosines.T @ values, blocks), 11)
    blocks = _descaled(_exactly(lambda values: values @ cosines, blocks), 18)
    return (blocks + 128).clamp(0, 255)


def _exactly(product: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """The product of a matrix and values, int32, up to 2¹⁶: their bytes apart, so that float32 holds every sum."""
    _require_full_products(values.device)
    with torch.autocast(values.device.type, enabled=False):
        high, low = product((values >> 8).float()), product((values & 0xFF).float())
    return (high.int() << 8) + low.int()


def _require_full_products(device: torch.device) -> None:
    """Raises RuntimeError where torch was told to round what float32 matrices multiply, to 8 or 11 bits."""
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    try:
        precision = backend.matmul.fp32_precision
    except AttributeError:  # torch before 2.9
        precision = torch.get_float32_matmul_precision()
    if precision not in ("none", "ieee", "highest"):
        raise RuntimeError(
            f"augmentation on {device.type} needs full float32 products, and torch computes them in {precision}: "
            'call torch.set_float32_matmul_precision("highest")'
        )


def _descaled(values: Tensor, bits: int) -> Tensor:
    return (values + (1 << (bits - 1))) >> bits


# --- The other degradations


def _kernels(values: Values, height: int, width: int) -> np.ndarray:
    """Each image's Gaussian as OpenCV has it for uint8: in 1/256, cut at 3 sigma, what rounding leaves passed on."""
    sizes = [round(6 * sigma + 1) | 1 for (sigma,) in values]
    kernels = np.zeros((len(values), max(sizes)), np.int32)
    for kernel, size, (sigma,) in zip(kernels, sizes, values, strict=True):
        middle, half = len(kernel) // 2, size // 2
        weights = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * max(sigma, 1e-6) ** 2))
        left_over = 0.0
        for place, weight in enumerate((256 * weights / weights.sum())[:half].tolist(), start=middle - half):
            kernel[place] = kernel[2 * middle - place] = round(weight + left_over)
            left_over += weight - kernel[place]
        kernel[middle] = 256 - kernel.sum()
    return kernels


def _blur(images: Tensor, numbers: Tensor) -> Tensor:
    """One product of matrices a direction; all sums are of integers below 2²⁴, exact in float32."""
    _require_full_products(images.device)
    count, height, width, _ = images.shape
    kernels = numbers.float()
    with torch.autocast(images.device.type, enabled=False):
        down = _blurring(kernels, height) @ images.float().view(count, height, 3 * width)
        sideways = down.view(count, height, width, 3).transpose(1, 2).reshape(count, width, 3 * height)
        done = (_blurring(kernels, width) @ sideways).view(count, width, height, 3).transpose(1, 2)
    return ((done.contiguous() + 32768) / 65536).floor().to(torch.uint8)


def _blurring(kernels: Tensor, length: int) -> Tensor:
    """Kernels (N, K) as matrices (N, length, length), what lies outside taken from the mirror image."""
    size = kernels.shape[1]
    places = torch.arange(length + size - 1, device=kernels.device)
    offsets = places - torch.arange(length, device=kernels.device)[:, None]
    weights = kernels[:, offsets.clamp(0, size - 1)] * ((offsets >= 0) & (offsets < size))
    inside = _reflected(places - size // 2, length)
    return weights @ (inside[:, None] == torch.arange(length, device=kernels.device)).float()


def _spreads_and_seeds(values: Values, height: int, width: int) -> np.ndarray:
    sigmas, seeds = np.array(values).T
    return np.column_stack([_bits(sigmas), (seeds * 2**31).astype(np.int32)])


def _noise(images: Tensor, numbers: Tensor) -> Tensor:
    """Rounded before it is added, as on a CPU."""
    sigma, seeds = numbers.unbind(1)
    pairs = -(-images[0].numel() // 2)
    # Box and Muller 1958: two uniform numbers, of 24 bits and never 0, make two normal ones.
    uniform = ((_hashed(seeds, 2 * pairs) >> 8 & 0xFFFFFF) + 0.5) / 2**24
    radius, angle = (-2 * uniform[:, :pairs].log()).sqrt(), 2 * math.pi * uniform[:, pairs:]
    normal = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, : images[0].numel()].view(images.shape)
    return _rounded(images + (normal * _column(_floats(sigma))).round())


def _hashed(seeds: Tensor, count: int) -> Tensor:
    """`count` random int32 of each seed, int32 (N,): counters hashed with it; (N, count)."""
    counters = torch.arange(count, device=seeds.device, dtype=torch.int32)
    return _mixed(_mixed(counters + 1) ^ _mixed(seeds + 0x5BD1E995)[:, None])


def _mixed(bits: Tensor) -> Tensor:
    """The finaliser of Appleby's MurmurHash3 (public domain), on int32 that overflow as unsigned ones do."""
    bits = (bits ^ (bits >> 16 & 0xFFFF)) * (0x85EBCA6B - 2**32)
    bits = (bits ^ (bits >> 13 & 0x7FFFF)) * (0xC2B2AE35 - 2**32)
    return bits ^ (bits >> 16 & 0xFFFF)


def _scalings(values: Values, height: int, width: int) -> np.ndarray:
    """1 where halves are rounded up, then what is taken at each place of a column, then of a row.

    OpenCV rounds halves up where it halves both sides exactly, elsewhere to the even number.
    """
    sides = np.array([smaller(height, width, factor) for (factor,) in values])
    halves_up = (2 * sides == (height, width)).all(1, keepdims=True)
    taps = max(math.ceil(length / side) + 1 for length, side in zip((height, width), sides.min(0), strict=True))
    tables = [_scaling(small, length, taps) for small, length in zip(sides.T, (height, width), strict=True)]
    return np.concatenate([halves_up, *(table.reshape(len(values), -1) for table in tables)], axis=1).astype(np.int32)


def _scaling(small: np.ndarray, length: int, taps: int) -> np.ndarray:
    """Of a side scaled to `small` pixels (N,) and back: int32 (N, length, taps + 5), by OpenCV's rules for `resize`.

    Down: the first of the pixels averaged and the share of each, 0 behind the small side. Up: the two pixels that lie
    around, and their weights of 2048.
    """
    small = small[:, None]
    places, size = np.arange(length), length / small
    start, end = places * size, np.minimum((places + 1) * size, length)
    first = np.floor(start)
    covered = [np.minimum(first + tap + 1, end) - np.maximum(first + tap, start) for tap in range(taps)]
    shares = [_bits(np.where(cover > 1e-3, cover / size, 0)) for cover in covered]
    place = (places + 0.5) * (small / length) - 0.5
    left = np.clip(np.floor(place), 0, small - 1)
    past = np.where(left < small - 1, np.maximum(place - left, 0), 0).astype(np.float32)
    weights = [np.rint(weight * 2048) for weight in (1 - past, past)]
    up = [left, np.minimum(left + 1, small - 1), *weights]
    return np.stack([np.minimum(first, length - 1), *shares, *up], axis=2).astype(np.int32)


def _rescale(images: Tensor, numbers: Tensor) -> Tensor:
    """By area down, between two pixels up."""
    count, height, width, _ = images.shape
    each = (numbers.shape[1] - 1) // (height + width)
    halves_up, of_columns, of_rows = numbers.split([1, each * height, each * width], 1)
    of_columns, of_rows = of_columns.reshape(count, height, each), of_rows.reshape(count, width, each)
    means = _averaged(_averaged(images.float(), of_rows, 2), of_columns, 1)
    small = torch.where(_column(halves_up) > 0, (means + 0.5).floor(), means.round()).int()
    # Weights of 11 bits, and these shifts before and after the second sum, are OpenCV's.
    left, right = _around(small, of_rows, 2)
    above, below = _around((left + right) >> 4, of_columns, 1)
    return (((above >> 16) + (below >> 16) + 2) >> 2).clamp(0, 255).to(torch.uint8)


def _averaged(values: Tensor, table: Tensor, axis: int) -> Tensor:
    """Along an axis of values (N, H, W, 3), the sums of the pixels that the table names, by their shares."""
    length, taps = table.shape[1], table.shape[2] - 5
    first, shares = table[:, :, 0].long(), _floats(table[:, :, 1 : 1 + taps])
    total = torch.zeros_like(values)
    for tap in range(taps):
        taken = _taken(values, (first + tap).clamp(max=length - 1), axis)
        total += taken * _along(shares[:, :, tap], axis)
    return total


def _around(values: Tensor, table: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Along an axis of values (N, H, W, 3), the two pixels that the table names last, times their weights."""
    first, second, first_weight, second_weight = table[:, :, -4:].unbind(2)
    return (
        _taken(values, first.long(), axis) * _along(first_weight, axis),
        _taken(values, second.long(), axis) * _along(second_weight, axis),
    )


def _taken(values: Tensor, places: Tensor, axis: int) -> Tensor:
    """Along an axis, of each image's values (N, H, W, 3) those at its places, int64 (N, M)."""
    return torch.take_along_dim(values, _along(places, axis), axis)


def _along(numbers: Tensor, axis: int) -> Tensor:
    """Numbers (N, M) as they broadcast over images along an axis: 1, a column, or 2, a row."""
    return numbers[:, :, None, None] if axis == 1 else numbers[:, None, :, None]


def _rectangles(values: Values, height: int, width: int) -> np.ndarray:
    """First row and column, how many of each, and the seed: −1 for the mean colour."""
    return np.array(
        [(*rectangle(height, width, *given), -1 if seed == MEAN else int(seed * 2**31)) for *given, seed in values],
        dtype=np.int32,
    )


def _erasing(images: Tensor, numbers: Tensor) -> Tensor:
    _, height, width, _ = images.shape
    top, left, tall, wide, seeds = numbers.long().unbind(1)
    mean = _rounded(images.sum((1, 2), dtype=torch.int64) / (height * width))
    drawn = (_hashed(seeds.int(), images[0].numel()) >> 8 & 0xFF).to(torch.uint8).view(images.shape)
    filling = torch.where(_column(seeds) < 0, mean[:, None, None], drawn)
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    down, across = (rows >= 0) & (rows < tall[:, None]), (columns >= 0) & (columns < wide[:, None])
    return torch.where((down[:, :, None] & across[:, None, :])[..., None], filling, images)


# In the order of application: what of a transform's values travels to the device, int32 (N, numbers an image), and
# what is done with it there to images, uint8 (N, H, W, 3).
_PIXELWISE: dict[str, tuple[Callable[[Values, int, int], np.ndarray], Callable[[Tensor, Tensor], Tensor]]] = {
    "brightness": (_as_floats, _brightness),
    "contrast": (_as_floats, _contrast),
    "saturation": (_as_floats, _saturation),
    "hue": (_as_floats, _hue),
    "jpeg": (_step_sizes, _jpeg),
    "blur": (_kernels, _blur),
    "noise": (_spreads_and_seeds, _noise),
    "rescale": (_scalings, _rescale),
    "erasing": (_rectangles, _erasing),
}
_FILLS: tuple[str, ...] = get_args(Fill)
_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **{f"whole {fill}": functools.partial(_whole, fill=fill) for fill in _FILLS},
    **{
        f"warp {interpolation} {fill}": functools.partial(_warp, interpolation=interpolation, fill=fill)
        for interpolation in get_args(Interpolation)
        for fill in _FILLS
    },
    **{name: done for name, (_, done) in _PIXELWISE.items()},
}
