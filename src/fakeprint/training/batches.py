"""From images to batches on the device, prepared while the network computes.

There are two ways. Images that are not on the device: threads take and augment each batch, which is then copied
(`Batch`). Images that are on the device: threads draw what is done to each batch, and only the numbers of its images
and these draws are copied (`DeviceBatch`). Order and draws are the same.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fakeprint import seeds
from fakeprint.augment.drawing import Augmentation, plans, uniforms
from fakeprint.augment.on_device import BatchPlan, apply_batch, copy_to_device, pack_plans
from fakeprint.augment.transforms import augment_batch
from fakeprint.errors import InputError
from fakeprint.training.images import DeviceImages, Images

PREFETCHED = 4  # batches prepared before the network needs them
Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class DeviceBatch:
    """A batch of images on a device: their rows, int64 (N,) on the host, and what is done to them, None = nothing."""

    images: DeviceImages
    rows: np.ndarray
    plan: BatchPlan | None = None


Prepared = Batch | DeviceBatch
Task = Callable[[], Prepared]


@dataclass(frozen=True)
class Batching:
    """How one epoch's batches are made of the training images.

    batch_size: images of all processes together. accumulate: batches per optimiser step. balanced: whether all classes
    come equally often, see `balanced_order`.
    """

    batch_size: int
    augmentation: Augmentation
    accumulate: int = 1
    balanced: bool = False

    def clean(self, images: int) -> "Batching":
        """Batches of so many images as they are, in shuffled order: not augmented, but sampled by the same rule."""
        return replace(self, batch_size=min(self.batch_size, images), augmentation=self.augmentation.off())

    def steps(self, images: int) -> int:
        """Optimiser steps in one pass over so many images; a last step that would not be full is left out."""
        return images // (self.batch_size * self.accumulate)

    def require_enough(self, images: int) -> None:
        """Raise InputError if there are fewer images than one step takes."""
        if self.batch_size > images:
            raise InputError(f"train.batch_size: {self.batch_size} is more than the {images} training images")
        if not self.steps(images):
            raise InputError(
                f"train.accumulate: {self.accumulate} batches of {self.batch_size} are more than the {images} training "
                "images"
            )

    def tasks(self, images: Images, seed: int, purpose: str, epoch: int, part: int = 0, parts: int = 1) -> list[Task]:
        """One epoch's batches, shuffled and augmented; a last one that would not be full is left out.

        Order and augmentation depend only on seed, purpose and epoch, not on what ran before or which thread prepares
        a batch. part: of each batch only every `parts`-th image, from this one on.
        """
        rng = seeds.generator(seed, f"{purpose}/order", epoch)
        numbers = uniforms(len(images), seed, f"{purpose}/augment", epoch)
        order = balanced_order(images.labels, rng) if self.balanced else rng.permutation(len(images))
        # An image that comes more than once in an epoch is augmented differently each time: by the draws of its place.
        draws = numbers if self.balanced else numbers[order]
        spots = None
        if images.cropped_at_random:
            spots = seeds.generator(seed, f"{purpose}/crops", epoch).random((len(images), 2))
            spots = spots if self.balanced else spots[order]

        def prepared(places: slice) -> Prepared:
            return self._prepared(images, order[places], draws[places], None if spots is None else spots[places])

        full = len(images) // self.batch_size * self.batch_size
        starts = range(0, full, self.batch_size)
        return [_task(prepared, slice(start + part, start + self.batch_size, parts)) for start in starts]

    def _prepared(self, images: Images, rows: np.ndarray, draws: np.ndarray, spots: np.ndarray | None) -> Prepared:
        if isinstance(images, DeviceImages):
            drawn = plans(self.augmentation, draws)
            return DeviceBatch(images, rows, pack_plans(drawn, *images.pixels.shape[1:3]))
        augmented = augment_batch(images.take(rows, spots), self.augmentation, draws)
        return augmented, images.labels[rows]


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many rows as there are labels, each class equally often (±1), shuffled.

    Of a frequent class some rows are left out, different ones in each epoch; those of a rare class are repeated, none
    for another time before all have come.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    each = -(-len(labels) // len(members))
    rows = [np.concatenate([rng.permutation(own) for _ in range(-(-each // len(own)))])[:each] for own in members]
    # Interleaved before the surplus is cut, so that the cut spreads over the classes.
    order: np.ndarray = rng.permutation(np.stack(rows, axis=1).ravel()[: len(labels)])
    return order


def plain_batches(images: Images, batch_size: int) -> list[Task]:
    """All images in their order, not augmented; the last batch may be smaller."""
    rows = np.arange(len(images))

    def prepared(places: slice) -> Prepared:
        if isinstance(images, DeviceImages):
            return DeviceBatch(images, rows[places])
        return images.take(rows[places]), images.labels[rows[places]]

    return [_task(prepared, slice(start, start + batch_size)) for start in range(0, len(rows), batch_size)]


def _task(prepared: Callable[[slice], Prepared], places: slice) -> Task:
    return lambda: prepared(places)


def prefetch(tasks: Sequence[Task], pool: ThreadPoolExecutor) -> Iterator[Prepared]:
    """The batches of the tasks in order; the pool prepares up to `PREFETCHED` of them while the caller is busy."""
    waiting: deque[Future[Prepared]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > PREFETCHED:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for batch in waiting:
            batch.cancel()


def to_device(batch: Prepared, device: str) -> tuple[Tensor, Tensor]:
    """A batch as networks take it: float32 images (N, 3, H, W) in [0, 1], channels last, and int64 labels (N,).

    The host does not wait for the device.
    """
    if isinstance(batch, DeviceBatch):
        images, labels = _taken(batch)
    else:
        images, labels = (copy_to_device(torch.from_numpy(array), device) for array in batch)
    return images.permute(0, 3, 1, 2).float().div_(255), labels


def _taken(batch: DeviceBatch) -> tuple[Tensor, Tensor]:
    pixels = batch.images.pixels
    rows = copy_to_device(torch.from_numpy(batch.rows), pixels.device)
    images, labels = pixels.index_select(0, rows), batch.images.device_labels.index_select(0, rows)
    return (apply_batch(images, batch.plan) if batch.plan else images), labels
