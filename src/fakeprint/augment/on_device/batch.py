"""The transforms of many images as one tensor, and what applies them to a batch on a device."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from fakeprint.augment.drawing import GEOMETRIC, Step, Warp
from fakeprint.augment.movements import in_whole_pixels, matrices_of
from fakeprint.augment.on_device.blur import blur, gaussian_kernels
from fakeprint.augment.on_device.colour import brightness, contrast, factors, hue, saturation
from fakeprint.augment.on_device.compression import jpeg, step_sizes
from fakeprint.augment.on_device.erasing import erasing, rectangles
from fakeprint.augment.on_device.geometry import move_by_pixels, warp
from fakeprint.augment.on_device.noise import noise, sigmas_and_seeds
from fakeprint.augment.on_device.rescaling import rescale, scalings
from fakeprint.augment.on_device.tensors import bits
from fakeprint.params import Fill, Interpolation, Transforms


def unsupported(transforms: Transforms) -> list[str]:
    """Names of the enabled transforms that run on a CPU only."""
    enabled = [name for name in Transforms.model_fields if getattr(transforms, name).enabled]
    return [name for name in enabled if name not in (*GEOMETRIC, *_PIXELWISE)]


@dataclass(frozen=True)
class BatchPlan:
    """What is done to the images of a batch, in groups by operation, in the order of application.

    groups: (operation, number of images, numbers per image). packed: int32, 1-dimensional, on the host: for each group
    the places of its images in the batch, then their numbers, image by image; a float32 as the int32 of the same bits.
    """

    groups: tuple[tuple[str, int, int], ...]
    packed: Tensor


def pack_steps(steps: Sequence[Step], warp: Warp, count: int, height: int, width: int) -> BatchPlan:
    """The transforms of a batch of `count` images as one plan. height, width: of all images, in pixels.

    Raises KeyError for a transform that `unsupported` names.
    """
    groups, packed = [], [np.empty(0, np.int32)]
    for operation, places, numbers in [
        *_moves(steps, warp, count, height, width),
        *_pixelwise(steps, height, width),
    ]:
        if len(places):
            groups.append((operation, *numbers.shape))
            packed += [places.astype(np.int32), numbers.ravel()]
    return BatchPlan(tuple(groups), torch.from_numpy(np.concatenate(packed)))


Group = tuple[str, np.ndarray, np.ndarray]  # operation, places, numbers: int32 (places, numbers per image)


def _moves(steps: Sequence[Step], warp: Warp, count: int, height: int, width: int) -> list[Group]:
    """The geometric transforms of each image as one movement: by whole pixels if possible, else a warp."""
    places, matrices = matrices_of(height, width, steps, count)
    whole, flipped, right, down = in_whole_pixels(matrices, width)
    pixels = np.stack([flipped, right, down], axis=1)[whole].astype(np.int32)
    inverse = np.linalg.inv(matrices[~whole])[:, :2].reshape(-1, 6)
    return [
        (f"whole {warp.fill}", places[whole], pixels),
        (f"warp {warp.interpolation} {warp.fill}", places[~whole], bits(inverse)),
    ]


def _pixelwise(steps: Sequence[Step], height: int, width: int) -> list[Group]:
    """The other transforms."""
    others = [step for step in steps if step.name not in GEOMETRIC]
    if unknown := {step.name for step in others} - set(_PIXELWISE):
        raise KeyError(f"{min(unknown)} works only on a CPU")
    return [
        (step.name, step.places, _PIXELWISE[step.name][0](step.values, height, width))
        for step in others
        if len(step.places)
    ]


def copy_to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A copy on the device of a tensor on the host; the host does not wait for it."""
    pinned = tensor.pin_memory() if torch.device(device).type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)


@torch.no_grad()
def apply_batch(images: Tensor, plan: BatchPlan) -> Tensor:
    """Apply a plan to a batch, uint8 (N, H, W, 3) RGB on any device, in place. Returns the batch."""
    parts = [size for _, count, width in plan.groups for size in (count, count * width)]
    packed = copy_to_device(plan.packed, images.device).split(parts)
    for (operation, count, width), places, numbers in zip(plan.groups, packed[::2], packed[1::2], strict=True):
        places = places.long()
        done = OPERATIONS[operation](images.index_select(0, places), numbers.view(count, width))
        images.index_copy_(0, places, done)
    return images


# In the order of application: what makes the numbers for the device of a transform's values, int32 (N, numbers per
# image), and what applies them there to images, uint8 (N, H, W, 3).
_PIXELWISE: dict[str, tuple[Callable[[np.ndarray, int, int], np.ndarray], Callable[[Tensor, Tensor], Tensor]]] = {
    "brightness": (factors, brightness),
    "contrast": (factors, contrast),
    "saturation": (factors, saturation),
    "hue": (factors, hue),
    "jpeg": (step_sizes, jpeg),
    "blur": (gaussian_kernels, blur),
    "noise": (sigmas_and_seeds, noise),
    "rescale": (scalings, rescale),
    "erasing": (rectangles, erasing),
}
_FILLS: tuple[str, ...] = get_args(Fill)
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **{f"whole {fill}": functools.partial(move_by_pixels, fill=fill) for fill in _FILLS},
    **{
        f"warp {interpolation} {fill}": functools.partial(warp, interpolation=interpolation, fill=fill)
        for interpolation in get_args(Interpolation)
        for fill in _FILLS
    },
    **{name: done for name, (_, done) in _PIXELWISE.items()},
}
