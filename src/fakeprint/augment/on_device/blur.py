"""Gaussian blur on a device."""

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.on_device.tensors import reflected, require_full_products


def gaussian_kernels(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The Gaussian of each sigma, (N, 1), as OpenCV computes it for uint8, int32 (N, K): in 1/256, cut at 3 sigma.

    What rounding leaves over is added to the next weight.
    """
    halves = (np.rint(6 * values + 1).astype(int) | 1) // 2
    half = int(halves.max())
    away = np.arange(half, 0, -1)  # pixels from the middle
    weights = np.where(away <= halves, np.exp(-(away**2) / (2 * np.maximum(values, 1e-6) ** 2)), 0)
    weights = 256 * weights / (1 + 2 * weights.sum(1, keepdims=True))
    side = np.zeros((len(values), half), np.int32)
    left_over = np.zeros(len(values))
    for place, weight in enumerate(weights.T):
        side[:, place] = np.rint(weight + left_over)
        left_over += weight - side[:, place]
    return np.concatenate([side, 256 - 2 * side.sum(1, keepdims=True), side[:, ::-1]], axis=1, dtype=np.int32)


def blur(images: Tensor, numbers: Tensor) -> Tensor:
    """Blur images, uint8 (N, H, W, 3), with the kernels `numbers`, int32 (N, K).

    One product of matrices per direction; all sums are of integers below 2²⁴, exact in float32.
    """
    require_full_products(images.device)
    count, height, width, _ = images.shape
    kernels = numbers.float()
    with torch.autocast(images.device.type, enabled=False):
        down = _blurring(kernels, height) @ images.float().view(count, height, 3 * width)
        sideways = down.view(count, height, width, 3).transpose(1, 2).reshape(count, width, 3 * height)
        done = (_blurring(kernels, width) @ sideways).view(count, width, height, 3).transpose(1, 2)
    return ((done.contiguous() + 32768) / 65536).floor().to(torch.uint8)


def _blurring(kernels: Tensor, length: int) -> Tensor:
    """Kernels (N, K) as matrices (N, length, length); outside the image is its mirror image."""
    size = kernels.shape[1]
    places = torch.arange(length + size - 1, device=kernels.device)
    offsets = places - torch.arange(length, device=kernels.device)[:, None]
    weights = kernels[:, offsets.clamp(0, size - 1)] * ((offsets >= 0) & (offsets < size))
    inside = reflected(places - size // 2, length)
    return weights @ (inside[:, None] == torch.arange(length, device=kernels.device)).float()
