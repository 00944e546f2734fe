"""Speed of augmentation compared with the same transforms in torchvision v2, in images per second on one core.

Both draw anew for every image. Ours warps an image once, bicubically; torchvision once per transform, bilinearly.
"""

import cv2
import numpy as np
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from benchmarks.table import Row, json_option, measure_in_turn, report, row
from fakeprint import params, seeds
from fakeprint.augment import drawing, transforms
from fakeprint.params import Augment, Rescale, Transforms

SIDE = 64  # pixels
IMAGES = 200
REPEATS = 7


class DownUp(torch.nn.Module):
    """Our transform `rescale`, built from torchvision's operations: torchvision has no such transform."""

    def __init__(self, settings: Rescale) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scale uint8 (3, H, W) down and up again."""
        factor = float(torch.empty(()).uniform_(*self.settings.factor))
        sides = list(image.shape[-2:])
        down = functional.resize(image, [max(1, round(side * factor)) for side in sides], antialias=True)
        return functional.resize(down, sides, antialias=False)


def in_torchvision(each: Transforms, side: int) -> v2.Compose:
    """Our transforms in torchvision v2, same probabilities and ranges; at most one degradation per image."""
    geometric = {
        "rotation": v2.RandomRotation(list(each.rotation.degrees), functional.InterpolationMode.BILINEAR),
        "shift": v2.RandomAffine(0, translate=(each.shift.fraction[1], each.shift.fraction[1])),
        "zoom": v2.RandomAffine(0, scale=each.zoom.factor, interpolation=functional.InterpolationMode.BILINEAR),
        "crop": v2.RandomResizedCrop(side, scale=[f**2 for f in each.crop.fraction], ratio=(1, 1)),
    }
    photometric = {
        "brightness": v2.ColorJitter(brightness=each.brightness.factor),
        "contrast": v2.ColorJitter(contrast=each.contrast.factor),
        "saturation": v2.ColorJitter(saturation=each.saturation.factor),
        "hue": v2.ColorJitter(hue=tuple(degrees / 360 for degrees in each.hue.degrees)),
    }
    degradations = {
        "jpeg": v2.JPEG(list(each.jpeg.quality)),
        "blur": v2.GaussianBlur(7, each.blur.sigma),
        "noise": v2.GaussianNoise(sigma=sum(each.noise.sigma) / 2 / 255),
        "rescale": DownUp(each.rescale),
    }

    def enabled(group: dict[str, torch.nn.Module]) -> list[str]:
        return [name for name in group if getattr(each, name).enabled]

    def maybe(group: dict[str, torch.nn.Module]) -> list[torch.nn.Module]:
        return [v2.RandomApply([group[name]], p=getattr(each, name).p) for name in enabled(group)]

    flip = [v2.RandomHorizontalFlip(each.flip.p)] if each.flip.enabled else []
    last = enabled(degradations)
    shares = [getattr(each, name).p for name in last]
    none = max(0.0, 1 - sum(shares))
    one = v2.RandomChoice([*(degradations[name] for name in last), torch.nn.Identity()], p=[*shares, none])
    return v2.Compose([*flip, *maybe(geometric), *maybe(photometric), one])


def images(side: int) -> np.ndarray:
    """Smooth noise, uint8 (IMAGES, side, side, 3), because the time of JPEG depends on content."""
    rng = seeds.generator(0, "benchmark/augmentation")
    rough = rng.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in rough])


def with_all(settings: Augment) -> Augment:
    """The same settings with every transform on."""
    blocks = settings.transforms.model_dump()
    every = Transforms.model_validate({name: {**block, "enabled": True} for name, block in blocks.items()})
    return settings.model_copy(update={"transforms": every})


def compared(name: str, settings: Augment, goal: float | None) -> Row:
    batch = images(SIDE)
    tensors = [torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in batch]
    peer = in_torchvision(settings.transforms, SIDE)
    augmentation = drawing.Augmentation(settings.transforms, settings.one_degradation)

    def ours() -> None:
        numbers = drawing.uniforms(IMAGES, 0, "benchmark/augmentation")
        transforms.augment_batch(batch, augmentation, numbers)

    def theirs() -> None:
        for tensor in tensors:
            peer(tensor)

    seconds, peer_seconds = measure_in_turn(ours, theirs, REPEATS)
    return row(name, IMAGES / seconds, IMAGES / peer_seconds, "images/s per core", "higher", goal)


def main() -> None:
    path = json_option(__doc__)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    settings = params.load().augment
    rows = [
        compared(f"augmentation as in params.yaml, {SIDE}×{SIDE}", settings, 3),
        compared(f"augmentation, every transform on, {SIDE}×{SIDE}", with_all(settings), 3),
    ]
    report(rows, "Augmentation: Fakeprint (ours) and torchvision v2 (peer)", path)


if __name__ == "__main__":
    main()
