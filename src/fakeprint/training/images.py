"""The way of the training images: from arrays of uint8 to batches on the device, prepared ahead of the network."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fakeprint import seeds
from fakeprint.augment.transforms import augment_batch, uniforms
from fakeprint.params import Transforms

AHEAD = 4  # batches prepared before the network asks for them
Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Images:
    """Images in one or more arrays, seen as one list.

    parts: uint8 (Nᵢ, H, W, 3) RGB each, in memory or mapped. labels: int64 (ΣNᵢ,).
    """

    parts: Sequence[np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images of these rows, uint8 (len(rows), H, W, 3), a new array."""
        taken = np.empty((len(rows), *self.parts[0].shape[1:]), dtype=np.uint8)
        start = 0
        for part in self.parts:
            inside = (rows >= start) & (rows < start + len(part))
            taken[inside] = part[rows[inside] - start]
            start += len(part)
        return taken

    def channel_statistics(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and standard deviation of red, green and blue over all images, in [0, 1]."""
        counts = np.zeros((3, 256), dtype=np.int64)
        for part in self.parts:
            for start in range(0, len(part), 256):
                batch = part[start : start + 256]
                counts += np.stack([np.bincount(batch[..., channel].ravel(), minlength=256) for channel in range(3)])
        levels = np.arange(256) / 255
        shares = counts / counts.sum(1, keepdims=True)
        means = shares @ levels
        deviations = np.sqrt(shares @ levels**2 - means**2)
        (r, g, b), (dr, dg, db) = means.tolist(), deviations.tolist()
        return (r, g, b), (dr, dg, db)


@dataclass(frozen=True)
class Augmentation:
    """What is done to each training image anew in each epoch."""

    transforms: Transforms
    one_degradation: bool


def training_batches(
    images: Images,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    purpose: str,
    epoch: int,
    balanced: bool = False,
    part: int = 0,
    parts: int = 1,
) -> list[Callable[[], Batch]]:
    """One epoch's batches, shuffled and augmented, as tasks; a last one that would not be full is left out.

    Order and augmentation depend on seed, purpose and epoch alone, not on what ran before or who prepares the batches.
    balanced: all classes equally often (see `balanced_order`). part: of each batch only every `parts`-th image, from
    this one on.
    """
    rng = seeds.generator(seed, f"{purpose}/order", epoch)
    numbers = uniforms(len(images), seed, f"{purpose}/augment", epoch)
    order = balanced_order(images.labels, rng) if balanced else rng.permutation(len(images))
    # An image that comes more than once in an epoch is augmented anew each time: its draws are those of its place.
    draws = numbers if balanced else numbers[order]

    def prepared(places: slice) -> Batch:
        rows = order[places]
        plain = images.take(rows)
        return (
            augment_batch(plain, augmentation.transforms, augmentation.one_degradation, draws[places]),
            images.labels[rows],
        )

    full = len(images) // batch_size * batch_size
    return [_task(prepared, slice(start + part, start + batch_size, parts)) for start in range(0, full, batch_size)]


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many rows as there are labels, each class equally often (±1), shuffled.

    Of a frequent class some rows are left out, another choice in each epoch; those of a rare one come in turn, the
    next time after all have come.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    each = -(-len(labels) // len(members))
    rows = [np.concatenate([rng.permutation(own) for _ in range(-(-each // len(own)))])[:each] for own in members]
    # Interleaved before the surplus is cut, so that it comes from as many classes as it can.
    together: np.ndarray = rng.permutation(np.stack(rows, axis=1).ravel()[: len(labels)])
    return together


def plain_batches(images: Images, batch_size: int) -> list[Callable[[], Batch]]:
    """All images in their order, as tasks; the last batch may be smaller."""
    rows = np.arange(len(images))

    def prepared(places: slice) -> Batch:
        return images.take(rows[places]), images.labels[rows[places]]

    return [_task(prepared, slice(start, start + batch_size)) for start in range(0, len(rows), batch_size)]


def _task(prepared: Callable[[slice], Batch], places: slice) -> Callable[[], Batch]:
    return lambda: prepared(places)


def ahead(tasks: Sequence[Callable[[], Batch]], pool: ThreadPoolExecutor) -> Iterator[Batch]:
    """The tasks' batches in order, up to `AHEAD` of them prepared by the pool while the caller is busy."""
    waiting: deque[Future[Batch]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for batch in waiting:
            batch.cancel()


def to_device(batch: Batch, device: str) -> tuple[Tensor, Tensor]:
    """A batch as the network wants it: float32 images (N, 3, H, W) in [0, 1], channels last, and int64 labels (N,)."""
    images, labels = (torch.from_numpy(array) for array in batch)
    if device == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()
    images, labels = (tensor.to(device, non_blocking=True) for tensor in (images, labels))
    return images.permute(0, 3, 1, 2).float().div_(255), labels
