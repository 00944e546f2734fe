"""`augment`, and the transforms that `train` and `robustness` share with it."""

from typing import Annotated, Literal, Self, get_args, get_origin

from annotated_types import Interval
from pydantic import model_validator

from fakeprint.params.block import Block, Fraction

# What a transform's strength may be: the range in params.yaml lies in it.
Degrees = Annotated[float, Interval(ge=-180, le=180)]
Share = Annotated[float, Interval(ge=-1, le=1)]
Factor = Annotated[float, Interval(ge=0.05, le=10)]
Shrinking = Annotated[float, Interval(ge=0.05, le=1)]
SideKept = Annotated[float, Interval(ge=0.1, le=1)]
Area = Annotated[float, Interval(gt=0, le=1)]
Quality = Annotated[int, Interval(ge=1, le=100)]
Sigma = Annotated[float, Interval(ge=0, le=128)]

Interpolation = Literal["bicubic", "bilinear", "nearest"]
Fill = Literal["reflect", "edge", "black"]


class Transform(Block):
    """One transform's switch, its probability per image, and (in subclasses) the range its strength is drawn from."""

    enabled: bool
    p: Fraction

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"the lower bound of {name}, {value[0]}, is above its upper bound, {value[1]}")
        return self


class Rotation(Transform):
    degrees: tuple[Degrees, Degrees]


class Shift(Transform):
    fraction: tuple[Share, Share]


class Scaling(Transform):
    factor: tuple[Factor, Factor]


class Crop(Transform):
    fraction: tuple[SideKept, SideKept]


class Hue(Transform):
    degrees: tuple[Degrees, Degrees]


class Jpeg(Transform):
    quality: tuple[Quality, Quality]


class Spread(Transform):
    sigma: tuple[Sigma, Sigma]


class Rescale(Transform):
    factor: tuple[Shrinking, Shrinking]


class Erasing(Transform):
    fraction: tuple[Area, Area]
    fill: Literal["random", "mean"]


class Transforms(Block):
    """Each transform's switch and range, in the order in which they are applied."""

    flip: Transform
    rotation: Rotation
    shift: Shift
    zoom: Scaling
    crop: Crop
    brightness: Scaling
    contrast: Scaling
    saturation: Scaling
    hue: Hue
    jpeg: Jpeg
    blur: Spread
    noise: Spread
    rescale: Rescale
    webp: Jpeg = Jpeg(enabled=False, p=0.25, quality=(50, 96))
    erasing: Erasing = Erasing(enabled=False, p=0.25, fraction=(0.02, 0.2), fill="random")


def strengths() -> dict[str, tuple[float, float]]:
    """The transforms that one number describes in full, and the lowest and highest that it may be.

    A flip has no strength, a shift has two, and erasing draws its place.
    """
    bounds = {}
    for name, field in Transforms.model_fields.items():
        kind = field.annotation
        if name in ("flip", "shift", "erasing") or kind is None:
            continue
        pairs = (each.annotation for each in kind.model_fields.values() if get_origin(each.annotation) is tuple)
        interval = get_args(get_args(next(pairs))[0])[1]
        bounds[name] = (interval.ge, interval.le)
    return bounds


class Augment(Block):
    copies: Annotated[int, Interval(ge=0, le=20)]
    one_degradation: bool = True
    interpolation: Interpolation = "bicubic"
    fill: Fill = "reflect"
    transforms: Transforms
