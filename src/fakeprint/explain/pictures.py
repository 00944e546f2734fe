"""The pictures of a page, as small WebP files in `data:` addresses: image, residual, spectrum, map."""

import base64
import io

import cv2
import numpy as np
from PIL import Image

from fakeprint.features.residual_image import DENOISERS

SIDE = 112  # pixels, at most, of a picture: with it 1,250 images stay below 20 MB
TILE = 64  # pixels; side of the tiles whose power is averaged
MAP_SIDE = 24  # of a map, which the browser stretches over the image
THUMBNAIL = 48  # of a train image
SPREAD = 12.0  # grey levels of a residual that are shown as black and white
BLACK, WHITE = 5.0, 99.7  # percentiles of the log spectrum that are shown as black and white
HOT = (255, 80, 0)  # colour of a map where it is 1; where it is 0 it is transparent


def picture(image: np.ndarray) -> str:
    """The image uint8 (H, W, 3), shrunk to `SIDE` if it is larger."""
    return _address(_shrunk(image, SIDE), quality=75)


def thumbnail(image: np.ndarray) -> str:
    """The image in `THUMBNAIL` pixels."""
    return _address(_shrunk(image, THUMBNAIL), quality=60)


def residual(image: np.ndarray) -> np.ndarray:
    """What a wavelet denoiser takes from the image, mean of red, green and blue: float32 (H, W), in grey levels.

    As in `features.residual_image`, but no pixels are cut off.
    """
    mean: np.ndarray = DENOISERS["wavelet"](image).mean(axis=0)
    return mean


def residual_picture(noise: np.ndarray) -> str:
    """The middle `SIDE` pixels of a residual float32 (H, W), grey where it is 0; not scaled, for that would blur it."""
    grey = np.clip(127.5 + _middle(noise) * (127.5 / SPREAD), 0, 255)
    return _address(Image.fromarray(grey.astype(np.uint8)), quality=60)


def spectrum_picture(noise: np.ndarray) -> str:
    """The log power spectrum of a residual float32 (H, W), frequency 0 in the middle, each picture in its own scale.

    Power is averaged over tiles of `TILE` pixels that overlap by half (Welch 1967): noise becomes even, and the points
    of a period stay, however large the image is.
    """
    side = min(TILE, *noise.shape)
    window = np.outer(np.hanning(side), np.hanning(side))
    tops, lefts = (_starts(length, side) for length in noise.shape)
    total = np.zeros((side, side))
    for top in tops:
        for left in lefts:
            tile = noise[top : top + side, left : left + side]
            total += np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2
    power = total / (len(tops) * len(lefts))
    log = np.log10(np.fft.fftshift(power) + 1e-6)
    low, high = np.percentile(log, [BLACK, WHITE])
    grey = np.clip((log - low) / max(high - low, 1e-9) * 255, 0, 255)
    return _address(Image.fromarray(grey.astype(np.uint8)), quality=75)


def map_picture(heat: np.ndarray) -> str:
    """A map float32 (H, W) in [0, 1] as a layer to lie over the image: the warmer, the less transparent."""
    small = cv2.resize(heat, (MAP_SIDE, MAP_SIDE), interpolation=cv2.INTER_AREA)
    layer = np.empty((MAP_SIDE, MAP_SIDE, 4), np.uint8)
    layer[..., :3] = HOT
    layer[..., 3] = np.round(np.clip(small, 0, 1) * 200)
    return _address(Image.fromarray(layer), quality=80)


def _starts(length: int, side: int) -> list[int]:
    """Where tiles start, half a tile apart or less, from the first pixel to the last."""
    count = -(-2 * (length - side) // side) + 1
    return [int(start) for start in np.linspace(0, length - side, count)]


def _shrunk(image: np.ndarray, side: int) -> Image.Image:
    whole = Image.fromarray(np.ascontiguousarray(image))
    if max(whole.size) <= side:
        return whole
    factor = side / max(whole.size)
    size = tuple(max(1, round(length * factor)) for length in whole.size)
    return whole.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _middle(plane: np.ndarray) -> np.ndarray:
    top, left = (max(0, (length - SIDE) // 2) for length in plane.shape)
    return plane[top : top + SIDE, left : left + SIDE]


def _address(content: Image.Image, quality: int) -> str:
    stream = io.BytesIO()
    content.save(stream, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
