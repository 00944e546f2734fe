"""Gaussian noise on a device, and random numbers that are the same on every device."""

import math

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.on_device.tensors import bits, column, floats, rounded


def sigmas_and_seeds(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The standard deviation and the seed of each image, (N, 2), as int32."""
    sigmas, seeds = values.T
    return np.column_stack([bits(sigmas), (seeds * 2**31).astype(np.int32)])


def noise(images: Tensor, numbers: Tensor) -> Tensor:
    """Add noise to images, uint8 (N, H, W, 3); it is rounded before it is added, as on a CPU."""
    sigma, seeds = numbers.unbind(1)
    pairs = -(-images[0].numel() // 2)
    # Box and Muller 1958: two uniform numbers, of 24 bits and never 0, make two normal ones.
    uniform = ((hashed(seeds, 2 * pairs) >> 8 & 0xFFFFFF) + 0.5) / 2**24
    radius, angle = (-2 * uniform[:, :pairs].log()).sqrt(), 2 * math.pi * uniform[:, pairs:]
    normal = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, : images[0].numel()].view(images.shape)
    return rounded(images + (normal * column(floats(sigma))).round())


def hashed(seeds: Tensor, count: int) -> Tensor:
    """Random int32 (N, count), `count` from each of the seeds, int32 (N,): counters hashed with the seed."""
    counters = torch.arange(count, device=seeds.device, dtype=torch.int32)
    return _mixed(_mixed(counters + 1) ^ _mixed(seeds + 0x5BD1E995)[:, None])


def _mixed(bits: Tensor) -> Tensor:
    """The finaliser of Appleby's MurmurHash3 (public domain), on int32, which overflow as unsigned ones do."""
    bits = (bits ^ (bits >> 16 & 0xFFFF)) * (0x85EBCA6B - 2**32)
    bits = (bits ^ (bits >> 13 & 0x7FFFF)) * (0xC2B2AE35 - 2**32)
    return bits ^ (bits >> 16 & 0xFFFF)
