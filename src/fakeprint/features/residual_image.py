"""Residual image: an image minus its denoised self, which keeps a generator's pattern and little of the scene."""

from collections.abc import Callable

import cv2
import numpy as np

from fakeprint.errors import InputError

WAVELET = "db4"  # Daubechies' with 8 taps
LEVELS = 4  # of the wavelet transform, fewer for small images
SIGMA = 5.0  # grey levels; deviation of the noise that the wavelet denoiser takes out
LEAST = 8  # pixels per side of a residual
WINDOWS = (3, 5, 7, 9)  # sides in coefficients, of the neighbourhoods whose variance it estimates


def residual_image(image: np.ndarray, denoiser: str, channels: str, border: int) -> np.ndarray:
    """The image minus its denoised self, in grey levels, at every pixel but the border.

    image: uint8 (H, W, 3) RGB. denoiser:

    - "median": OpenCV's 3×3 median, as in the feature set `spectrum`.
    - "wavelet": Wiener shrinkage of wavelet coefficients by their local variance (Mıhçak, Kozintsev and Ramchandran
      1999), with which Lukáš, Fridrich and Goljan 2006 found the fingerprints of cameras.
    - "right", "down", "square", "laplacian": a high-pass filter instead of a denoiser: the difference from the next
      pixel, a quarter of SRM's 3×3 kernel (these three as in TraceNet, but not truncated), and a quarter of the four
      neighbours minus the pixel. The image is mirrored at its edges.

    channels: "rgb", or "grey" for the mean of the three residuals. border: pixels cut off on each side afterwards,
    where the denoiser had no neighbours. Returns float32, h · w numbers per channel, h = H − 2 · border: planes one
    after the other, row by row. Values are rounded to float16, as they are stored: the median's and the filters' are
    exact. Raises InputError if less than `LEAST` pixels per side would be left.
    """
    most = (min(image.shape[:2]) - LEAST) // 2
    if border > most:
        raise InputError(
            f"features.residual_image.border: {border} pixels leave too little of images of {image.shape[1]}×"
            f"{image.shape[0]} pixels; at most {most}"
        )
    planes = DENOISERS[denoiser](image)
    planes = planes[:, border : planes.shape[1] - border, border : planes.shape[2] - border]
    if channels == "grey":
        planes = planes.mean(axis=0, keepdims=True)
    return planes.astype(np.float16).astype(np.float32).ravel()


def _median(image: np.ndarray) -> np.ndarray:
    """float32 (3, H, W), as from all functions below."""
    residual = image.astype(np.int16) - cv2.medianBlur(np.ascontiguousarray(image), 3)
    return residual.transpose(2, 0, 1).astype(np.float32)


def _wavelet(image: np.ndarray) -> np.ndarray:
    return np.stack([_wavelet_noise(plane) for plane in image.transpose(2, 0, 1).astype(np.float32)])


def _wavelet_noise(plane: np.ndarray) -> np.ndarray:
    """What the denoiser takes from one plane (H, W): of each detail coefficient the share that is noise."""
    import pywt  # here: other feature sets are served without it

    levels = min(LEVELS, pywt.dwt_max_level(min(plane.shape), WAVELET)) or 1
    smooth, *details = pywt.wavedec2(plane, WAVELET, mode="symmetric", level=levels)
    noise = [np.zeros_like(smooth), *(tuple(_noise_share(each) * each for each in bands) for bands in details)]
    return pywt.waverec2(noise, WAVELET, mode="symmetric")[: plane.shape[0], : plane.shape[1]]


def _noise_share(band: np.ndarray) -> np.ndarray:
    """SIGMA² / (variance of the scene + SIGMA²); the variance is the least estimate of all windows."""
    energy = band**2
    means = [cv2.blur(energy, (window, window), borderType=cv2.BORDER_REFLECT) for window in WINDOWS]
    scene = np.maximum(np.min(means, axis=0) - SIGMA**2, 0)
    return SIGMA**2 / (scene + SIGMA**2)


def _padded(image: np.ndarray) -> np.ndarray:
    """Planes with one mirrored pixel on each side: float32 (3, H + 2, W + 2)."""
    return np.pad(image.transpose(2, 0, 1).astype(np.float32), ((0, 0), (1, 1), (1, 1)), mode="reflect")


def _right(image: np.ndarray) -> np.ndarray:
    wide = _padded(image)
    return wide[:, 1:-1, 2:] - wide[:, 1:-1, 1:-1]


def _down(image: np.ndarray) -> np.ndarray:
    wide = _padded(image)
    return wide[:, 2:, 1:-1] - wide[:, 1:-1, 1:-1]


def _square(image: np.ndarray) -> np.ndarray:
    return -np.diff(np.diff(_padded(image), n=2, axis=2), n=2, axis=1) / 4


def _laplacian(image: np.ndarray) -> np.ndarray:
    wide = _padded(image)
    around = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    return around / 4 - wide[:, 1:-1, 1:-1]


DENOISERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "median": _median,
    "wavelet": _wavelet,
    "right": _right,
    "down": _down,
    "square": _square,
    "laplacian": _laplacian,
}
