"""Spectrum: the power of an image at each spatial frequency, averaged over directions."""

import functools

import cv2
import numpy as np
import scipy.fft

from fakeprint.errors import InputError

HIGHEST = np.sqrt(0.5)  # cycles per pixel, at the corners of the spectrum


def spectrum(image: np.ndarray, bins: int) -> np.ndarray:
    """Azimuthally averaged log power spectra of the image and of its difference from a 3×3 median filter.

    Upsampling leaves its traces in the highest frequencies (Durall, Keuper and Keuper, "Watch your up-convolution",
    2020); the median residual removes most of the scene.

    image: uint8 (H, W, 3) RGB. Returns float32 (6 · bins,): red, green, blue, then their residuals, each from the
    lowest to the highest frequency (√½ cycles per pixel); log(1 + power per pixel), without the channel's mean.
    Raises InputError if a ring would contain no frequency.
    """
    residual = image.astype(np.int16) - cv2.medianBlur(np.ascontiguousarray(image), 3)
    planes = np.concatenate([image, residual], axis=2).transpose(2, 0, 1).astype(np.float32)
    return radial_log_power(planes, bins).ravel()


def radial_log_power(planes: np.ndarray, bins: int) -> np.ndarray:
    """Mean of log(1 + power) over each of `bins` rings of frequency; planes: float32 (C, H, W). Returns (C, bins)."""
    height, width = planes.shape[1:]
    order, weights, starts, totals = _rings(height, width, bins)
    planes = planes - planes.mean(axis=(1, 2), keepdims=True)
    transform = scipy.fft.rfft2(planes).reshape(len(planes), -1)
    power = (transform.real**2 + transform.imag**2) / np.float32(height * width)
    ordered = np.log1p(power)[:, order] * weights
    return np.add.reduceat(ordered, starts, axis=1) / totals


@functools.lru_cache(maxsize=8)
def _rings(height: int, width: int, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The half-plane's coefficients sorted by ring: their order and weights, where each ring starts, and its weight."""
    down, right = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    ring = np.minimum(np.hypot(down, right) / HIGHEST * bins, bins - 1).astype(int).ravel()
    # The half-plane holds each pair of opposite frequencies once, but its first column (and its last, if even) whole.
    mirrored = (right > 0) & (right < 0.5)
    weight = np.broadcast_to(np.where(mirrored, 2.0, 1.0), (height, right.size)).ravel().copy()
    weight[0] = 0.0  # the mean
    totals = np.bincount(ring, weights=weight, minlength=bins)
    if not totals.all():
        most = next(fewer for fewer in range(bins - 1, 0, -1) if _no_empty_ring(height, width, fewer))
        raise InputError(
            f"features.spectrum.bins: {bins} rings are too many for images of {width}×{height} pixels; at most {most}"
        )
    order = np.argsort(ring, kind="stable")
    starts = np.searchsorted(ring[order], np.arange(bins))
    return order, weight[order].astype(np.float32), starts, totals.astype(np.float32)


def _no_empty_ring(height: int, width: int, bins: int) -> bool:
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]).ravel()[1:]
    return bool(np.bincount(np.minimum(radius / HIGHEST * bins, bins - 1).astype(int), minlength=bins).all())
