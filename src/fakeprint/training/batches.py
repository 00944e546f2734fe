"""From images to batches on the device, prepared while the network computes.

There are two ways. Images that are not on the device: threads take and augment each batch, which is then copied
(`Batch`). Images that are on the device: threads draw what is done to some batches at once, and only the numbers of
their images and these draws are copied (`DeviceBatches`): a device is faster at few large operations than at many small
ones. Order and draws are the same.
"""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fakeprint import seeds
from fakeprint.augment.drawing import Augmentation, steps, uniforms
from fakeprint.augment.on_device import BatchPlan, apply_batch, copy_to_device, pack_steps
from fakeprint.augment.transforms import augment_batch
from fakeprint.errors import InputError
from fakeprint.training.images import DeviceImages, Images, memory

PREFETCHED = 4  # batches, or groups of them, prepared before the network needs them
GROUP_BYTES = 2**25  # of images, at most, that are augmented together on a device
WORKSPACE = 1000  # bytes of a device's memory per byte of such images: warping them takes 60, JPEG 30
Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class DeviceBatches:
    """Consecutive batches of images on a device.

    rows: of all their images, int64 (N,) on the host. size: images per batch; the last may have fewer. plan: what is
    done to the images, None = nothing.
    """

    images: DeviceImages
    rows: np.ndarray
    size: int
    plan: BatchPlan | None = None


Prepared = Batch | DeviceBatches
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

    def tasks(
        self,
        images: Images,
        seed: int,
        purpose: str,
        epoch: int,
        part: int = 0,
        parts: int = 1,
        batches: int | None = None,
    ) -> list[Task]:
        """One epoch's batches, shuffled and augmented; a last one that would not be full is left out.

        Order and augmentation depend only on seed, purpose and epoch, not on what ran before or which thread prepares
        a batch. A task prepares one batch, or several consecutive ones if the images are on a device.

        part, parts: take every `parts`-th image of each batch, from `part` on. batches: how many, None for all.
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

        def prepared(places: np.ndarray) -> Prepared:
            return self._prepared(images, order[places], draws[places], None if spots is None else spots[places], size)

        full = len(images) // self.batch_size
        of_batches = np.arange(full * self.batch_size).reshape(full, self.batch_size)[:batches, part::parts]
        size = of_batches.shape[1]
        per_task = _batches_per_task(images, size)
        return [
            partial(prepared, of_batches[first : first + per_task].ravel())
            for first in range(0, len(of_batches), per_task)
        ]

    def _prepared(
        self, images: Images, rows: np.ndarray, draws: np.ndarray, spots: np.ndarray | None, size: int
    ) -> Prepared:
        if isinstance(images, DeviceImages):
            augmentation, (height, width) = self.augmentation, images.pixels.shape[1:3]
            plan = pack_steps(steps(augmentation, draws), augmentation.warp, len(rows), height, width)
            return DeviceBatches(images, rows, size, plan)
        augmented = augment_batch(images.take(rows, spots), self.augmentation, draws)
        return augmented, images.labels[rows]


def _batches_per_task(images: Images, batch_size: int) -> int:
    """Batches that are prepared at once."""
    if not isinstance(images, DeviceImages):
        return 1
    most = min(GROUP_BYTES, memory(str(images.pixels.device)) / WORKSPACE)
    return max(1, int(most // (batch_size * math.prod(images.pixels.shape[1:]))))


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
            return DeviceBatches(images, rows[places], batch_size)
        return images.take(rows[places]), images.labels[rows[places]]

    return [partial(prepared, slice(start, start + batch_size)) for start in range(0, len(rows), batch_size)]


def on_device(
    tasks: Sequence[Task], pool: ThreadPoolExecutor, device: str
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """The batches of the tasks in order, as `to_device` gives them, prepared ahead."""
    with closing(prefetch(tasks, pool)) as prefetched:
        for prepared in prefetched:
            if isinstance(prepared, DeviceBatches):
                for images, labels in _taken(prepared):
                    yield _as_input(images), labels
            else:
                yield to_device(prepared, device)


def prefetch(tasks: Sequence[Task], pool: ThreadPoolExecutor) -> Generator[Prepared, None, None]:
    """What the tasks prepare, in order; the pool is up to `PREFETCHED` tasks ahead while the caller is busy."""
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


def to_device(batch: Batch, device: str) -> tuple[Tensor, Tensor]:
    """A batch as networks take it: float32 images (N, 3, H, W) in [0, 1], channels last, and int64 labels (N,).

    The host does not wait for the device.
    """
    images, labels = (copy_to_device(torch.from_numpy(array), device) for array in batch)
    return _as_input(images), labels


def _as_input(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float().div_(255)


def _taken(batches: DeviceBatches) -> Iterator[tuple[Tensor, Tensor]]:
    """Each batch: uint8 (N, H, W, 3), augmented with the others at once, and its labels."""
    pixels = batches.images.pixels
    rows = copy_to_device(torch.from_numpy(batches.rows), pixels.device)
    images, labels = pixels.index_select(0, rows), batches.images.device_labels.index_select(0, rows)
    if batches.plan:
        images = apply_batch(images, batches.plan)
    yield from zip(images.split(batches.size), labels.split(batches.size), strict=True)
