"""Gaussian blur on a device."""

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.on_device.tensors import Values, reflected, require_full_products


def gaussian_kernels(values: Values, height: int, width: int) -> np.ndarray:
    """The Gaussian of each image as OpenCV computes it for uint8, int32 (N, K): in 1/256, cut at 3 sigma.

    What rounding leaves over is added to the next weight.
    """
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
