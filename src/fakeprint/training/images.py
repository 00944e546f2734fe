"""Training and validation images: arrays of uint8, in memory, mapped or on a device, or crops of whole images."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.on_device import unsupported
from fakeprint.data.crops import EvenCrops, RandomCrops
from fakeprint.errors import InputError
from fakeprint.params import Transforms

SHARE = 0.5  # of a device's memory that images may take; the rest is for the network and its activations


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Some images of an array, copied only when they are read, as an array uint8 (M, H, W, 3) is.

    images: uint8 (N, H, W, 3), in memory or mapped. rows: int64 (M,), their numbers in it.
    """

    images: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, H, W, 3)."""
        return len(self), *self.images.shape[1:]

    @property
    def nbytes(self) -> int:
        """Bytes of the chosen images."""
        return math.prod(self.shape)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All that decides the pixels."""
        return [self.images, self.rows]

    def __getitem__(self, wanted: slice | np.ndarray) -> np.ndarray:
        """The images of a slice of the rows or of some of them, uint8 (n, H, W, 3), a new array."""
        return np.asarray(self.images[self.rows[wanted]])


Part = np.ndarray | ChosenRows | EvenCrops | RandomCrops


@dataclass(frozen=True)
class Images:
    """Images in one or more arrays, seen as one list.

    parts: uint8 (Nᵢ, H, W, 3) RGB each, in memory or mapped, or crops of that size. labels: int64 (ΣNᵢ,).
    """

    parts: Sequence[Part]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def originals(self) -> "Images":
        """The images of the first part: those of the split, without its stored copies."""
        return Images(self.parts[:1], self.labels[: len(self.parts[0])])

    @property
    def arrays(self) -> list[np.ndarray]:
        """Pixels and labels, all that the images consist of."""
        of_parts = [[part] if isinstance(part, np.ndarray) else part.arrays for part in self.parts]
        return [*(array for arrays in of_parts for array in arrays), self.labels]

    @property
    def cropped_at_random(self) -> bool:
        """Whether `take` needs draws."""
        return any(isinstance(part, RandomCrops) for part in self.parts)

    def take(self, rows: np.ndarray, draws: np.ndarray | None = None) -> np.ndarray:
        """The images of these rows, uint8 (len(rows), H, W, 3), a new array.

        draws: where random crops are, float64 (len(rows), 2) in [0, 1); may be None if there are none.
        """
        taken = np.empty((len(rows), *self.parts[0].shape[1:]), dtype=np.uint8)
        start = 0
        for part in self.parts:
            inside = (rows >= start) & (rows < start + len(part))
            if isinstance(part, RandomCrops):
                if draws is None:
                    raise ValueError("random crops need draws")
                taken[inside] = part.at(rows[inside] - start, draws[inside])
            else:
                taken[inside] = part[rows[inside] - start]
            start += len(part)
        return taken

    def sample(self, most: int, rng: np.random.Generator) -> np.ndarray:
        """At most this many of the images, drawn without replacement: uint8 (n, H, W, 3), a new array."""
        rows = np.sort(rng.permutation(len(self))[:most])
        return self.take(rows, rng.random((len(rows), 2)) if self.cropped_at_random else None)

    def channel_statistics(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and standard deviation of red, green and blue over all images, in [0, 1].

        Of whole images where they are cropped at random.
        """
        counts = np.zeros((3, 256), dtype=np.int64)
        for part in self.parts:
            for batch in _batches(part):
                counts += np.stack([np.bincount(batch[..., channel].ravel(), minlength=256) for channel in range(3)])
        levels = np.arange(256) / 255
        shares = counts / counts.sum(1, keepdims=True)
        means = shares @ levels
        deviations = np.sqrt(shares @ levels**2 - means**2)
        (r, g, b), (dr, dg, db) = means.tolist(), deviations.tolist()
        return (r, g, b), (dr, dg, db)

    def on(self, device: str) -> "DeviceImages":
        """The same images, also on a device."""
        pixels = torch.empty((len(self), *self.parts[0].shape[1:]), dtype=torch.uint8, device=device)
        start = 0
        for part in self.parts:
            assert isinstance(part, np.ndarray | ChosenRows)  # `_obstacle` lets no other pass
            for first in range(0, len(part), 1024):  # a mapped array is never in memory as a whole
                chunk = np.array(part[first : first + 1024])
                pixels[start : start + len(chunk)] = torch.from_numpy(chunk)
                start += len(chunk)
        return DeviceImages(self.parts, self.labels, pixels, torch.tensor(self.labels, device=device))


def _batches(part: Part) -> Iterator[np.ndarray]:
    """All pixels of a part in batches, uint8 (…, 3)."""
    if isinstance(part, RandomCrops):
        yield from (image for image in part.images.reopened())
    else:
        yield from (part[start : start + 256] for start in range(0, len(part), 256))


@dataclass(frozen=True)
class DeviceImages(Images):
    """Images that are on a device too: pixels, uint8 (ΣNᵢ, H, W, 3), and device_labels, int64 (ΣNᵢ,)."""

    pixels: Tensor
    device_labels: Tensor

    def originals(self) -> "DeviceImages":
        """The images of the first part, not copied."""
        part = super().originals()
        return DeviceImages(part.parts, part.labels, self.pixels[: len(part)], self.device_labels[: len(part)])


def placed(
    images: Images, validation: Images, augment_on: str, transforms: Sequence[Transforms], device: str
) -> tuple[Images, Images]:
    """Both on the device if `augment_on` asks for it, else unchanged.

    augment_on: "cpu", "device", or "auto": on the device if it is not a CPU, supports all transforms and has room.
    transforms: those of each phase. Raises InputError if "device" is not possible.
    """
    if augment_on == "cpu" or (augment_on == "auto" and device == "cpu"):
        return images, validation
    obstacle = _obstacle([images, validation], transforms, device)
    if obstacle is None:
        return images.on(device), validation.on(device)
    if augment_on == "device":
        raise InputError(f"train.augment_on: {obstacle}; set it to auto or cpu")
    return images, validation


def _obstacle(images: Sequence[Images], transforms: Sequence[Transforms], device: str) -> str | None:
    """Why images cannot be augmented on a device, in words."""
    if any(isinstance(part, EvenCrops | RandomCrops) for each in images for part in each.parts):
        return "crops of images at their own size (prepare.resize: native) are cut only on a CPU"
    names = [name for each in transforms for name in unsupported(each)]
    if names:
        return f"{names[0]} works only on a CPU"
    needed, available = sum(part.nbytes for each in images for part in each.parts), memory(device)
    if needed > SHARE * available:
        share = f"{SHARE:.0%} of the {available / 2**30:.1f} GiB of {device}"
        return f"the images take {needed / 2**30:.1f} GiB, more than {share}"
    return None


def memory(device: str) -> float:
    """Memory of a device in bytes: free memory of a GPU, all of a CPU; infinite where the system does not report it."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return float("inf")
