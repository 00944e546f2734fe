"""Training and validation images: arrays of uint8, in memory, mapped from a file, or on a device."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.on_device import unsupported
from fakeprint.errors import InputError
from fakeprint.params import Transforms

SHARE = 0.5  # of a device's memory that images may take; the rest is for the network and its activations


@dataclass(frozen=True)
class Images:
    """Images in one or more arrays, seen as one list.

    parts: uint8 (Nᵢ, H, W, 3) RGB each, in memory or mapped. labels: int64 (ΣNᵢ,).
    """

    parts: Sequence[np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def arrays(self) -> list[np.ndarray]:
        """Pixels and labels, all that the images consist of."""
        return [*self.parts, self.labels]

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

    def on(self, device: str) -> "DeviceImages":
        """The same images, also on a device."""
        pixels = torch.empty((len(self), *self.parts[0].shape[1:]), dtype=torch.uint8, device=device)
        start = 0
        for part in self.parts:
            for first in range(0, len(part), 1024):  # a mapped array is never in memory as a whole
                chunk = np.array(part[first : first + 1024])
                pixels[start : start + len(chunk)] = torch.from_numpy(chunk)
                start += len(chunk)
        return DeviceImages(self.parts, self.labels, pixels, torch.tensor(self.labels, device=device))


@dataclass(frozen=True)
class DeviceImages(Images):
    """Images that are on a device too: pixels, uint8 (ΣNᵢ, H, W, 3), and device_labels, int64 (ΣNᵢ,)."""

    pixels: Tensor
    device_labels: Tensor


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
