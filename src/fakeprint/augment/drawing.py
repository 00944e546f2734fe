"""The draws of augmentation: from uniform numbers to a plan for each image.

`steps` turns uniform numbers into the transforms of a batch, in order, each with the images that it applies to; `plans`
into a `Plan` per image, which `transforms.apply` applies. That depends only on image and plan. Each image has `DRAWS`
uniform numbers, each with a fixed meaning, so that enabling a transform does not change the draws of another. The
numbers of a new transform come after all others, from a generator of their own.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from fakeprint import seeds
from fakeprint.params import Augment, Train, Transforms

MEAN = -1.0  # in place of erasing's seed: filled with the image's mean
DEGRADATIONS = ("jpeg", "blur", "noise", "rescale", "webp")

# In the order of application: the setting whose range each transform draws from, and how many numbers it draws from it.
# Crop also draws its position, noise its seed, erasing its shape, position and seed, all from [0, 1).
_RANGES: dict[str, tuple[str, int]] = {
    "flip": ("", 0),
    "rotation": ("degrees", 1),
    "shift": ("fraction", 2),
    "zoom": ("factor", 1),
    "crop": ("fraction", 1),
    "brightness": ("factor", 1),
    "contrast": ("factor", 1),
    "saturation": ("factor", 1),
    "hue": ("degrees", 1),
    "jpeg": ("quality", 1),
    "blur": ("sigma", 1),
    "noise": ("sigma", 1),
    "rescale": ("factor", 1),
    "webp": ("quality", 1),
    "erasing": ("fraction", 1),
}
_PLAIN = {"crop": 2, "noise": 1, "erasing": 4}
GEOMETRIC = ("flip", "rotation", "shift", "zoom", "crop")
_LATER = ("webp", "erasing")  # added later, without changing the draws of the others
_FIRST_TRANSFORMS = [name for name in _RANGES if name not in _LATER]


def _width(name: str) -> int:
    """The number of values that a transform draws."""
    return _RANGES[name][1] + _PLAIN.get(name, 0)


# The columns of the uniform numbers: a switch for each of the first transforms, the choice of the one degradation,
# the first transforms' values; then switch and values of each later transform; last, whether and which degradation
# follows the one degradation.
_SWITCH = {name: column for column, name in enumerate(_FIRST_TRANSFORMS)}
_WHICH = len(_SWITCH)
_FIRST = {}
DRAWS = _WHICH + 1
for _name in _FIRST_TRANSFORMS:
    _FIRST[_name] = DRAWS
    DRAWS += _width(_name)
_EARLIER_DRAWS = DRAWS
for _name in _LATER:
    _SWITCH[_name], _FIRST[_name] = DRAWS, DRAWS + 1
    DRAWS += 1 + _width(_name)
_SECOND = DRAWS
DRAWS += 1


@dataclass(frozen=True)
class Warp:
    """How geometric transforms compute pixels: between pixels, and beyond the border.

    interpolation: "bicubic", "bilinear", "nearest". fill: "reflect", the mirror image; "edge", the nearest pixel of the
    border (Keras's "nearest"); "black", 0.
    """

    interpolation: str = "bicubic"
    fill: str = "reflect"


DEFAULT_WARP = Warp()


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each image. Of the settings, `Augment` and `Train` have the same keys for it.

    one_degradation: whether jpeg, blur, noise, rescale and webp exclude each other. second_degradation: the share, 0–1,
    of the images that get one of them and then get another one.
    """

    transforms: Transforms
    one_degradation: bool
    warp: Warp = DEFAULT_WARP
    second_degradation: float = 0.0

    @classmethod
    def of(cls, settings: Augment | Train) -> Self:
        """That of the block `augment` or `train`."""
        warp = Warp(settings.interpolation, settings.fill)
        return cls(settings.transforms, settings.one_degradation, warp, settings.second_degradation)

    def off(self) -> Self:
        """The same with every transform disabled."""
        disabled = {name: block.model_copy(update={"enabled": False}) for name, block in self.transforms}
        return replace(self, transforms=self.transforms.model_copy(update=disabled))


@dataclass(frozen=True)
class Step:
    """One transform of some images of a batch. places: int64 (M,), of these images; values: float64 (M, K)."""

    name: str
    places: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Plan:
    """The transforms of one image: (name, values), in the order of application."""

    steps: tuple[tuple[str, tuple[float, ...]], ...]
    warp: Warp = DEFAULT_WARP

    def __str__(self) -> str:
        """`flip, jpeg quality=71`; `as it is` without transforms."""
        return ", ".join(_described(name, values) for name, values in self.steps) or "as it is"


def _described(name: str, values: tuple[float, ...]) -> str:
    setting, count = _RANGES[name]
    shown = [f"{value:.0f}" if setting == "quality" else f"{value:.3g}" for value in values[:count]]
    return f"{name} {setting}={'/'.join(shown)}" if count else name


def uniforms(count: int, seed: int, purpose: str, *keys: int) -> np.ndarray:
    """Uniform numbers for `count` images, float64 (count, DRAWS) in [0, 1): row i is that of image i.

    In training: `uniforms(rows, seed, "train/NAME/augment", epoch)[batch_rows]`, so that an image's augmentation
    depends on seed, epoch and row, never on batches or workers.
    """
    first = seeds.generator(seed, purpose, *keys).random((count, _EARLIER_DRAWS))
    later = seeds.generator(seed, f"{purpose}/later", *keys).random((count, _SECOND - _EARLIER_DRAWS))
    second = seeds.generator(seed, f"{purpose}/second", *keys).random((count, 1))
    return np.concatenate([first, later, second], axis=1)


def steps(augmentation: Augmentation, numbers: np.ndarray) -> list[Step]:
    """The transforms of a batch, in the order of application. numbers: uniform numbers, (N, DRAWS) in [0, 1).

    A transform is applied with its probability p. If degradations exclude each other, each is chosen with its p
    (divided by their sum where that exceeds 1), none with what is left; a second one after it is chosen in proportion
    to its p.
    """
    settings = augmentation.transforms
    active = _switches(settings, augmentation.one_degradation, numbers)
    in_order = list(active.items())
    if augmentation.one_degradation and augmentation.second_degradation:
        last = [in_order.pop()] if "erasing" in active else []
        in_order += [*_second(settings, active, numbers, augmentation.second_degradation).items(), *last]
    return [Step(name, np.flatnonzero(switch), _values(settings, name, numbers[switch])) for name, switch in in_order]


def plans(augmentation: Augmentation, numbers: np.ndarray) -> list[Plan]:
    """The same as one plan per row of `numbers`."""
    drawn: list[list[tuple[str, tuple[float, ...]]]] = [[] for _ in numbers]
    for step in steps(augmentation, numbers):
        for place, values in zip(step.places.tolist(), step.values.tolist(), strict=True):
            drawn[place].append((step.name, tuple(values)))
    return [Plan(tuple(each), augmentation.warp) for each in drawn]


def _switches(settings: Transforms, one_degradation: bool, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """For each enabled transform, in the order of application: bool (N,), whether it is applied."""
    active = {}
    reached = 0.0
    enabled = [name for name in DEGRADATIONS if getattr(settings, name).enabled]
    total = max(1.0, sum(getattr(settings, name).p for name in enabled))
    for name in _RANGES:
        transform = getattr(settings, name)
        if not transform.enabled:
            continue
        if one_degradation and name in DEGRADATIONS:
            start, reached = reached, reached + transform.p / total
            active[name] = (numbers[:, _WHICH] >= start) & (numbers[:, _WHICH] < reached)
        else:
            active[name] = numbers[:, _SWITCH[name]] < transform.p
    return active


def _second(
    settings: Transforms, active: dict[str, np.ndarray], numbers: np.ndarray, share: float
) -> dict[str, np.ndarray]:
    """For each degradation that may be chosen, bool (N,): whether it follows the image's one degradation."""
    chances = {name: getattr(settings, name).p for name in DEGRADATIONS if name in active}
    if not chances:
        return {}
    first = np.stack([active[name] for name in chances])
    left = np.where(first, 0.0, np.array(list(chances.values()))[:, None])
    ends = np.cumsum(left, axis=0)
    # The one number chooses within its lower part, `share`; above it there is no second.
    place = numbers[:, _SECOND] / share * ends[-1]
    follows = first.any(axis=0) & (place >= ends - left) & (place < ends)
    return dict(zip(chances, follows, strict=True))


def _values(settings: Transforms, name: str, numbers: np.ndarray) -> np.ndarray:
    """A transform's values, float64 (N, its count): those from its range first, then plain ones in [0, 1)."""
    setting, count = _RANGES[name]
    first = _FIRST[name]
    ranged = numbers[:, first : first + count]
    plain = numbers[:, first + count : first + _width(name)]
    if not setting:
        return ranged
    low, high = getattr(getattr(settings, name), setting)
    if setting == "quality":
        return np.floor(low + (high + 1 - low) * ranged)
    if name == "erasing" and settings.erasing.fill == "mean":
        plain = np.concatenate([plain[:, :-1], np.full((len(plain), 1), MEAN)], axis=1)
    return np.concatenate([low + (high - low) * ranged, plain], axis=1)
