"""The way of the training images: from arrays of uint8 to batches on the device, prepared ahead of the network.

There are two. Arrays that the device has no room for stay where they are, in memory or mapped: threads take and augment
each batch, which is then copied (`Batch`). Arrays that fit lie on the device: threads draw what is done to each batch,
and only its rows and these draws are copied (`BatchThere`). Order and draws are the same.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fakeprint import seeds
from fakeprint.augment.on_device import BatchPlan, apply_batch, sent, together, unsupported
from fakeprint.augment.transforms import AS_A_RULE, Warp, augment_batch, plans, uniforms
from fakeprint.errors import InputError
from fakeprint.params import Train, Transforms

AHEAD = 4  # batches prepared before the network asks for them
SHARE = 0.5  # of a device's memory that images may take; the rest is for the network and its activations
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

    def on(self, device: str) -> "ImagesThere":
        """These, on a device too."""
        pixels = torch.empty((len(self), *self.parts[0].shape[1:]), dtype=torch.uint8, device=device)
        start = 0
        for part in self.parts:
            for first in range(0, len(part), 1024):  # a mapped array is never in memory as a whole
                some = np.array(part[first : first + 1024])
                pixels[start : start + len(some)] = torch.from_numpy(some)
                start += len(some)
        return ImagesThere(self.parts, self.labels, pixels, torch.tensor(self.labels, device=device))


@dataclass(frozen=True)
class ImagesThere(Images):
    """Images that lie on a device too: pixels, uint8 (ΣNᵢ, H, W, 3), and answers, int64 (ΣNᵢ,), the labels."""

    pixels: Tensor
    answers: Tensor


@dataclass(frozen=True)
class BatchThere:
    """A batch of images that lie on a device: which, int64 (N,) on the host, and what is done to them, if anything."""

    images: ImagesThere
    rows: np.ndarray
    plan: BatchPlan | None = None


Prepared = Batch | BatchThere


def placed(images: Images, validation: Images, phases: Sequence[Train], device: str) -> tuple[Images, Images]:
    """Both on the device where `augment_on` of the training's phases says so, else as they are.

    `auto` puts them there where the device is no CPU, knows all transforms and has room. Raises InputError where
    `device` is asked for and something is in the way.
    """
    asked = phases[0].augment_on
    if asked == "cpu" or (asked == "auto" and device == "cpu"):
        return images, validation
    obstacle = _obstacle([images, validation], phases, device)
    if obstacle is None:
        return images.on(device), validation.on(device)
    if asked == "device":
        raise InputError(f"train.augment_on: {obstacle}; set it to auto or cpu")
    return images, validation


def _obstacle(images: Sequence[Images], phases: Sequence[Train], device: str) -> str | None:
    """What keeps images from being augmented on a device, in words."""
    unknown = [name for phase in phases for name in unsupported(phase.transforms)]
    if unknown:
        return f"{unknown[0]} is done on a CPU alone"
    needed, there = sum(part.nbytes for each in images for part in each.parts), memory(device)
    if needed > SHARE * there:
        share = f"{SHARE:.0%} of the {there / 2**30:.1f} GiB that {device} has"
        return f"the images take {needed / 2**30:.1f} GiB, more than {share}"
    return None


def memory(device: str) -> float:
    """Bytes that a device has: of a GPU's what is free, of a CPU's all; infinite where the system does not say."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return float("inf")


@dataclass(frozen=True)
class Augmentation:
    """What is done to each training image anew in each epoch."""

    transforms: Transforms
    one_degradation: bool
    warp: Warp = AS_A_RULE


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
) -> list[Callable[[], Prepared]]:
    """One epoch's batches, shuffled and augmented, as tasks; a last one that would not be full is left out.

    Order and augmentation depend on seed, purpose and epoch alone, not on what ran before or who prepares the batches.
    balanced: all classes equally often (see `balanced_order`). part: of each batch only every `parts`-th image, from
    this one on.
    """
    rng = seeds.generator(seed, f"{purpose}/order", epoch)
    numbers = uniforms(len(images), seed, f"{purpose}/augment", epoch)
    transforms, alone, warp = augmentation.transforms, augmentation.one_degradation, augmentation.warp
    order = balanced_order(images.labels, rng) if balanced else rng.permutation(len(images))
    # An image that comes more than once in an epoch is augmented anew each time: its draws are those of its place.
    draws = numbers if balanced else numbers[order]

    def prepared(places: slice) -> Prepared:
        rows = order[places]
        if isinstance(images, ImagesThere):
            drawn = plans(transforms, alone, draws[places], warp)
            return BatchThere(images, rows, together(drawn, *images.pixels.shape[1:3]))
        return augment_batch(images.take(rows), transforms, alone, draws[places], warp=warp), images.labels[rows]

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


def plain_batches(images: Images, batch_size: int) -> list[Callable[[], Prepared]]:
    """All images in their order, as tasks; the last batch may be smaller."""
    rows = np.arange(len(images))

    def prepared(places: slice) -> Prepared:
        if isinstance(images, ImagesThere):
            return BatchThere(images, rows[places])
        return images.take(rows[places]), images.labels[rows[places]]

    return [_task(prepared, slice(start, start + batch_size)) for start in range(0, len(rows), batch_size)]


def _task(prepared: Callable[[slice], Prepared], places: slice) -> Callable[[], Prepared]:
    return lambda: prepared(places)


def ahead(tasks: Sequence[Callable[[], Prepared]], pool: ThreadPoolExecutor) -> Iterator[Prepared]:
    """The tasks' batches in order, up to `AHEAD` of them prepared by the pool while the caller is busy."""
    waiting: deque[Future[Prepared]] = deque()
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


def to_device(batch: Prepared, device: str) -> tuple[Tensor, Tensor]:
    """A batch as the network wants it: float32 images (N, 3, H, W) in [0, 1], channels last, and int64 labels (N,).

    The host does not wait for the device.
    """
    if isinstance(batch, BatchThere):
        images, labels = _taken_there(batch)
    else:
        images, labels = (sent(torch.from_numpy(array), device) for array in batch)
    return images.permute(0, 3, 1, 2).float().div_(255), labels


def _taken_there(batch: BatchThere) -> tuple[Tensor, Tensor]:
    rows = sent(torch.from_numpy(batch.rows), batch.images.pixels.device)
    images, labels = batch.images.pixels.index_select(0, rows), batch.images.answers.index_select(0, rows)
    return (apply_batch(images, batch.plan) if batch.plan else images), labels
