"""Image transforms for augmentation, one definition each: stored copies and augmentation in training share them.

Generators leave traces a few pixels wide, and augmentation must not remove them. A flip or a shift therefore moves
whole pixels without interpolation; rotation, zoom and crop, together with flip and shift, become one affine warp,
bicubic unless `Warp` says otherwise; and outside the frame is, by default, its mirror image without repeating the edge
pixel (OpenCV's BORDER_REFLECT_101, NumPy's "reflect"), which keeps the parity of 2×2 patterns.

Drawing and applying are separate: `drawing` makes the plans, and what `apply` does depends only on image and plan.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from fakeprint.augment.drawing import DEFAULT_WARP, GEOMETRIC, MEAN, Augmentation, Plan, Warp, plans
from fakeprint.augment.movements import in_whole_pixels, matrix_of

BORDER = cv2.BORDER_REFLECT_101


def apply(image: np.ndarray, plan: Plan) -> np.ndarray:
    """Apply a plan to an image, uint8 (H, W, 3) RGB. Returns a new uint8 array of the same shape."""
    moves = [step for step in plan.steps if step[0] in GEOMETRIC]
    image = moved(image, moves, plan.warp) if moves else image.copy()
    for name, values in plan.steps[len(moves) :]:
        image = _PIXELWISE[name](image, *values)
    return image


def augment_batch(
    images: np.ndarray, augmentation: Augmentation, numbers: np.ndarray, pool: ThreadPoolExecutor | None = None
) -> np.ndarray:
    """Augment images, uint8 (N, H, W, 3), by `numbers` (N, DRAWS) from `uniforms`. Returns a new array of that shape.

    pool: threads that share the images (OpenCV releases the interpreter lock); the result is the same.
    """
    out = np.empty_like(images)

    def fill(row: int, plan: Plan) -> None:
        out[row] = apply(images[row], plan)

    todo = plans(augmentation, numbers)
    list((pool.map if pool else map)(fill, range(len(todo)), todo))
    return out


# --- Geometric transforms: one warp for all of them.


_FLAGS = {"bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST}
_BORDERS = {"reflect": BORDER, "edge": cv2.BORDER_REPLICATE, "black": cv2.BORDER_CONSTANT}


def moved(image: np.ndarray, moves: Sequence[tuple[str, tuple[float, ...]]], warp: Warp = DEFAULT_WARP) -> np.ndarray:
    """Apply geometric steps in order as one movement: by whole pixels if possible, else by one warp."""
    height, width = image.shape[:2]
    matrix = matrix_of(height, width, moves)
    whole, flipped, right, down = in_whole_pixels(matrix, width)
    if not whole:
        flags, border = _FLAGS[warp.interpolation], _BORDERS[warp.fill]
        return cv2.warpAffine(image, matrix[:2], (width, height), flags=flags, borderMode=border)
    return _shifted(cv2.flip(image, 1) if flipped else image, int(right), int(down), _BORDERS[warp.fill])


def _shifted(image: np.ndarray, right: int, down: int, border: int) -> np.ndarray:
    """The image moved by whole pixels; `border` is OpenCV's constant for what fills the gap."""
    if not right and not down:
        return image.copy()
    height, width = image.shape[:2]
    above, below, left, beyond = max(down, 0), max(-down, 0), max(right, 0), max(-right, 0)
    wide = cv2.copyMakeBorder(image, above, below, left, beyond, border)
    return wide[below : below + height, beyond : beyond + width].copy()


# --- Colour. Sums are rounded and clipped to 0–255 once.


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Every value times `factor`."""
    return cv2.addWeighted(image, factor, image, 0, 0)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Distances from the image's mean luma (ITU-R BT.601) times `factor`."""
    red, green, blue, _ = cv2.mean(image)
    mean = 0.299 * red + 0.587 * green + 0.114 * blue
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Distances from each pixel's own luma times `factor`: 0 makes it grey."""
    luma = np.array([0.299, 0.587, 0.114])
    return cv2.transform(image, factor * np.eye(3) + (1 - factor) * luma)


def hue(image: np.ndarray, degrees: float) -> np.ndarray:
    """HSV hue turned by `degrees` of 360: 120 turns red to green."""
    if degrees == 0:
        return image
    hsv = np.asarray(cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV), dtype=np.float32)
    hsv[..., 0] += degrees + 360 * (degrees < 0)
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).astype(np.uint8)


# --- Degradations: what happens to images as they are shared and stored.


def jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    """Compressed as JPEG (4:2:0, as most software does) and decoded again."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; `sigma` in pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=BORDER) if sigma > 0 else image


def noise(image: np.ndarray, sigma: float, number: float) -> np.ndarray:
    """Gaussian noise of `sigma` grey levels, independent for each value; `number` in [0, 1) is the seed."""
    cv2.setRNGSeed(int(number * 2**31))  # OpenCV's generator is each thread's own
    grain = cv2.randn(np.empty(image.shape, np.int16), np.zeros(3), np.full(3, sigma))
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def rescale(image: np.ndarray, factor: float) -> np.ndarray:
    """Scaled down by `factor` (area average) and up again (bilinear)."""
    height, width = image.shape[:2]
    small = smaller(height, width, factor)
    if small == (height, width):
        return image
    down = cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA)
    return cv2.resize(down, (width, height), interpolation=cv2.INTER_LINEAR)


def smaller(height: int, width: int, factor: float) -> tuple[int, int]:
    """Height and width scaled by `factor`, in whole pixels."""
    return max(1, round(height * factor)), max(1, round(width * factor))


def webp(image: np.ndarray, quality: float) -> np.ndarray:
    """Compressed as lossy WebP and decoded again."""
    encoded = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, int(quality)])[1]
    return cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


# --- Erasing, after all other transforms.


def erasing(image: np.ndarray, fraction: float, shape: float, across: float, down: float, number: float) -> np.ndarray:
    """A rectangle of `fraction` of the area replaced by values drawn from 0–255, or by the image's mean colour.

    Zhong et al. 2020, "Random Erasing Data Augmentation". `shape` in [0, 1): height over width, from 0.3 to 1 / 0.3 on
    a logarithmic scale; what does not fit is cut to the side. `across` and `down` in [0, 1): the position, from the
    left and upper edge to the right and lower one. `number` in [0, 1) is the seed of the values; `MEAN` fills with the
    mean.
    """
    height, width = image.shape[:2]
    top, left, tall, wide = rectangle(height, width, fraction, shape, across, down)
    erased = image.copy()
    if number == MEAN:
        erased[top : top + tall, left : left + wide] = np.rint(cv2.mean(image)[:3])
    else:
        values = np.random.default_rng(int(number * 2**31)).integers(0, 256, (tall, wide, 3), dtype=np.uint8)
        erased[top : top + tall, left : left + wide] = values
    return erased


def rectangle(
    height: int, width: int, fraction: float, shape: float, across: float, down: float
) -> tuple[int, int, int, int]:
    """The rectangle of `erasing`: first row, first column, number of rows, number of columns."""
    ratio = 0.3 ** (1 - 2 * shape)
    tall = min(height, max(1, round(math.sqrt(fraction * height * width * ratio))))
    wide = min(width, max(1, round(math.sqrt(fraction * height * width / ratio))))
    return int(down * (height - tall + 1)), int(across * (width - wide + 1)), tall, wide


_PIXELWISE: dict[str, Callable[..., Any]] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
    "jpeg": jpeg,
    "blur": blur,
    "noise": noise,
    "rescale": rescale,
    "webp": webp,
    "erasing": erasing,
}
