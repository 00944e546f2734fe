"""Colour: normalised histograms, and the shrunk image itself."""

import cv2
import numpy as np

RGB_RANGES = (0, 256, 0, 256, 0, 256)
HSV_RANGES = (0, 180, 0, 256, 0, 256)  # OpenCV's 8-bit hue counts in steps of 2 degrees


def rgb_hist(image: np.ndarray, bins: int) -> np.ndarray:
    """Joint RGB histogram.

    image: uint8 (H, W, 3) RGB. Returns float32 (bins³,), red the slowest index, summing to one.
    """
    return _joint(image, bins, RGB_RANGES)


def hsv_joint(image: np.ndarray, bins: int) -> np.ndarray:
    """Joint HSV histogram.

    image: uint8 (H, W, 3) RGB. Returns float32 (bins³,), hue the slowest index, summing to one.
    """
    return _joint(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), bins, HSV_RANGES)


def hsv_hist(image: np.ndarray, bins: int) -> np.ndarray:
    """Histograms of hue, saturation and value, one after the other.

    image: uint8 (H, W, 3) RGB. Returns float32 (3 · bins,), summing to one over all three.
    """
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    counts = [cv2.calcHist([hsv], [i], None, [bins], HSV_RANGES[2 * i : 2 * i + 2]) for i in range(3)]
    return np.concatenate(counts).ravel() / np.float32(hsv.size)


def pixels(image: np.ndarray, size: int) -> np.ndarray:
    """The image shrunk by area averaging to `size` × `size` pixels.

    image: uint8 (H, W, 3) RGB. Returns float32 (size · size · 3,) in [0, 1].
    """
    shrunk = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return shrunk.ravel().astype(np.float32) / np.float32(255)


def _joint(image: np.ndarray, bins: int, ranges: tuple[int, ...]) -> np.ndarray:
    counts = cv2.calcHist([image], [0, 1, 2], None, [bins] * 3, ranges)
    return counts.ravel() / np.float32(image.shape[0] * image.shape[1])
