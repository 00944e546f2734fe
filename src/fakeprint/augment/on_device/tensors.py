"""Shared by all transforms on a device: numbers as bits, rounding, places on a line."""

import numpy as np
import torch
from torch import Tensor


def bits(floats: np.ndarray) -> np.ndarray:
    """float32 numbers as the int32 of the same bits."""
    return floats.astype(np.float32).view(np.int32)


def floats(numbers: Tensor) -> Tensor:
    """What `bits` packed, as float32 of the same shape."""
    return numbers.contiguous().view(torch.float32)


def rounded(values: Tensor) -> Tensor:
    """To the nearest of 0–255, halves to the even one, as OpenCV's saturate_cast."""
    return values.round().clamp(0, 255).to(torch.uint8)


def column(numbers: Tensor, dimensions: int = 4) -> Tensor:
    """One number per image, (N,), in a shape that broadcasts over the image's other dimensions."""
    return numbers.view(-1, *[1] * (dimensions - 1))


def reflected(places: Tensor, length: int) -> Tensor:
    """Places on a line, int64, brought into [0, length) by mirroring without repeating the edge."""
    period = max(1, 2 * (length - 1))
    places = places.remainder(period)
    return torch.minimum(places, period - places) if length > 1 else places


def require_full_products(device: torch.device) -> None:
    """Raise RuntimeError if torch is set to round the factors of float32 products, to 8 or 11 bits."""
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    try:
        precision = backend.matmul.fp32_precision
    except AttributeError:  # torch before 2.9
        precision = torch.get_float32_matmul_precision()
    if precision not in ("none", "ieee", "highest"):
        raise RuntimeError(
            f"augmentation on {device.type} needs full float32 matrix products, but torch uses {precision}: "
            'call torch.set_float32_matmul_precision("highest")'
        )
