"""Brightness, contrast, saturation and hue on a device."""

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.on_device.tensors import bits, column, floats, rounded


def factors(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """One number per image (a factor, or degrees), (N, 1), as int32."""
    return bits(values)


def brightness(images: Tensor, numbers: Tensor) -> Tensor:
    """Every value times its image's factor."""
    return rounded(images * column(floats(numbers)))


def contrast(images: Tensor, numbers: Tensor) -> Tensor:
    """Distances from the image's mean luma times its factor."""
    factor = column(floats(numbers))
    red, green, blue = (images.sum((1, 2), dtype=torch.int64) / images[0, ..., 0].numel()).unbind(1)
    luma = column(0.299 * red + 0.587 * green + 0.114 * blue)
    return rounded(images * factor + (1 - factor) * luma)


def saturation(images: Tensor, numbers: Tensor) -> Tensor:
    """Distances from each pixel's luma times the image's factor; OpenCV's `transform` rounds its matrix to 1/1024."""
    factor = floats(numbers)
    luma = [0.299, 0.587, 0.114]
    given = images.int().unbind(3)
    out = []
    for to in range(3):
        weights = [((1 - factor) * share + factor * (to == source)) * 1024 for source, share in enumerate(luma)]
        shares = [channel * column(weight.round().int(), 3) for channel, weight in zip(given, weights, strict=True)]
        out.append((shares[0] + shares[1] + shares[2] + 512) >> 10)
    return torch.stack(out, 3).clamp(0, 255).to(torch.uint8)


def hue(images: Tensor, numbers: Tensor) -> Tensor:
    """Hue turned by the image's degrees: to HSV and back (Smith 1978)."""
    degrees = column(floats(numbers), 3)
    red, green, blue = images.float().unbind(3)
    value, least = images.amax(3).float(), images.amin(3).float()
    spread = value - least
    sixth = 60 / spread.clamp(min=1)  # values are integers: a spread below 1 is 0, and so is the product
    of_red, of_green, of_blue = (green - blue) * sixth, (blue - red) * sixth + 120, (red - green) * sixth + 240
    hue = torch.where(value == red, of_red, torch.where(value == green, of_green, of_blue)) + degrees
    channels = []
    for start in (5, 3, 1):
        sector = (start + hue / 60).remainder(6)
        channels.append(value - spread * torch.minimum(sector, 4 - sector).clamp(0, 1))
    return torch.where(degrees[..., None] == 0, images, rounded(torch.stack(channels, 3)))
