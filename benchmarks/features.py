"""Speed of feature extraction in images per second on one core, compared with a plain loop over OpenCV's calcHist.

No joint histogram can be faster than that loop. 100×100 images of coloured noise with edges; one process, one thread.
`python -m benchmarks.features [--json FILE]`
"""

from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.table import json_option, measure_in_turn, report, row
from fakeprint import params, seeds
from fakeprint.features import FEATURE_SETS, extract

IMAGES, SIDE = 400, 100


def scenes(count: int) -> np.ndarray:
    """Smooth random scenes with fine noise: uint8 (count, SIDE, SIDE, 3)."""
    rng = seeds.generator(7, "benchmark/features")
    coarse = rng.integers(0, 256, (count, 9, 9, 3)).astype(np.uint8)
    smooth = np.stack([cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for each in coarse])
    return np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)


def calc_hist(images: np.ndarray) -> None:
    """The least work for any joint histogram of 8 bins per channel."""
    for image in images:
        cv2.calcHist([image], [0, 1, 2], None, [8, 8, 8], [0, 256, 0, 256, 0, 256])


def rate(name: str, options: dict[str, int], images: np.ndarray) -> tuple[float, float]:
    """Images per second of a feature set and of calcHist."""
    ours: Callable[[], object] = lambda: extract(name, options, images)  # noqa: E731
    seconds = measure_in_turn(ours, lambda: calc_hist(images))
    return len(images) / seconds[0], len(images) / seconds[1]


def main() -> None:
    json_path = json_option(__doc__)
    cv2.setNumThreads(1)
    blocks = params.load().features
    images = scenes(IMAGES)
    rows = []
    for name in FEATURE_SETS:
        ours, limit = rate(name, getattr(blocks, name).model_dump(), images)
        rows.append(row(f"features {name}", ours, limit, "images/s per core", "higher", None))
    report(rows, f"Feature extraction, {SIDE}×{SIDE} images (ours) and a loop over calcHist, 8³ bins (peer)", json_path)


if __name__ == "__main__":
    main()
