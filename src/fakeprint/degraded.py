"""Images degraded by transforms of given strengths, and a model's probabilities of them.

The transforms are those of augmentation; a crop keeps the middle.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from joblib import delayed

from fakeprint import seeds
from fakeprint.augment.drawing import Plan
from fakeprint.augment.transforms import apply
from fakeprint.blocks import remapped
from fakeprint.data.arrays import WholeImages, images_together
from fakeprint.parallel import in_order
from fakeprint.progress import track

BATCH = 128  # images that are degraded together

Steps = Mapping[str, float]  # transform → strength, in the order in which they are applied


def degraded(images: np.ndarray, cell: str, steps: Steps, seed: int) -> np.ndarray:
    """Apply the steps to images, uint8 (N, H, W, 3); returns a new array. Noise depends on seed, cell and row."""
    return np.stack(degrade(images, steps, random_numbers(cell, len(images), seed)))


def random_numbers(cell: str, count: int, seed: int) -> np.ndarray:
    """A random number in [0, 1) for each row, independent of the number of rows."""
    return seeds.generator(seed, f"robustness/{cell}").random(count)


def degrade(images: Iterable[np.ndarray], steps: Steps, numbers: np.ndarray) -> list[np.ndarray]:
    """Apply the steps to images, uint8 (H, W, 3) of any sizes. numbers: one per image, which draws its noise."""
    out = []
    for row, image in enumerate(images):
        for name, strength in steps.items():
            more = {"crop": (0.5, 0.5), "noise": (numbers[row],)}.get(name, ())
            values = () if name == "flip" else (strength, *more)
            image = apply(image, Plan(((name, values),)))
        out.append(image)
    return out


def batch_size(images: np.ndarray | WholeImages) -> int:
    """Images per batch: `BATCH`, fewer where whole images are large."""
    if isinstance(images, WholeImages):
        return min(BATCH, images_together(images.heights.tolist(), images.widths.tolist()))
    return BATCH


def rows_of(images: np.ndarray | WholeImages, rows: slice) -> Sequence[np.ndarray] | np.ndarray:
    """Some images, in memory."""
    return images[rows] if isinstance(images, WholeImages) else np.array(remapped(images)[rows])


def degraded_probabilities(
    probabilities: Callable[[Any], np.ndarray],
    images: np.ndarray | WholeImages,
    grid: Mapping[str, Steps],
    seed: int,
    workers: int | None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each cell of the grid with a model's probabilities, float64 (N, C), of the images degraded so.

    Args:
        probabilities: of a `fakeprint.predict.LoadedModel`.
        images: uint8 (N, H, W, 3), N ≥ 1, an array or a memory map; or whole images. A few batches are in memory.
        grid: cell → steps.
        seed: params.seed, of the noise.
        workers: processes that degrade, None for all cores; their number does not change the result.
    """
    size = batch_size(images)
    starts = range(0, len(images), size)

    def tasks() -> Iterator[Any]:
        for cell, steps in grid.items():
            numbers = random_numbers(cell, len(images), seed)
            for start in starts:
                rows = slice(start, start + size)
                yield delayed(degrade)(rows_of(images, rows), dict(steps), numbers[rows])

    batches = track(in_order(tasks(), workers), "degraded", len(grid) * len(starts), "batch")
    for cell in grid:
        parts = []
        for _ in starts:
            batch = next(batches)
            parts.append(probabilities(batch if isinstance(images, WholeImages) else np.stack(batch)))
        yield cell, np.concatenate(parts)
