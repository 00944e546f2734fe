"""`augment`, and the transforms that `train` and `robustness` share with it."""

from typing import Annotated, Literal, Self, get_args, get_origin

from annotated_types import Interval
from pydantic import Field, model_validator

from fakeprint.params.block import Block, Fraction

# Bounds of each transform's strength; the range in params.yaml has to be within them.
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

    enabled: bool = Field(description="whether it is used")
    p: Fraction = Field(description="0–1; probability per image")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"the lower bound of {name}, {value[0]}, is above its upper bound, {value[1]}")
        return self


class Rotation(Transform):
    degrees: tuple[Degrees, Degrees] = Field(description="lowest and highest, -180 to 180")


class Shift(Transform):
    fraction: tuple[Share, Share] = Field(description="lowest and highest, of the side, in each direction")


class Scaling(Transform):
    factor: tuple[Factor, Factor] = Field(description="lowest and highest factor, 0.05–10")


class Crop(Transform):
    fraction: tuple[SideKept, SideKept] = Field(description="smallest and largest part of the side that is kept, 0.1–1")


class Hue(Transform):
    degrees: tuple[Degrees, Degrees] = Field(description="lowest and highest, of 360")


class Jpeg(Transform):
    quality: tuple[Quality, Quality] = Field(description="lowest and highest quality, 1–100")


class Spread(Transform):
    sigma: tuple[Sigma, Sigma] = Field(description="lowest and highest standard deviation, 0–128")


class Rescale(Transform):
    factor: tuple[Shrinking, Shrinking] = Field(description="lowest and highest factor, 0.05–1, down and up again")


class Erasing(Transform):
    fraction: tuple[Area, Area] = Field(description="smallest and largest part of the area")
    fill: Literal["random", "mean"] = Field(description="random (values) | mean (colour)")


class Transforms(Block):
    """Each transform's switch and range, in the order in which they are applied."""

    flip: Transform = Field(description="left-right")
    rotation: Rotation = Field(description="degrees")
    shift: Shift = Field(description="of the side, in each direction")
    zoom: Scaling = Field(description="of the size")
    crop: Crop = Field(description="of the side kept, scaled back")
    brightness: Scaling = Field(description="of every value")
    contrast: Scaling = Field(description="of the distance from mean grey")
    saturation: Scaling = Field(description="of the distance from the grey image")
    hue: Hue = Field(description="degrees of 360")
    jpeg: Jpeg = Field(description="quality, 1–100")
    blur: Spread = Field(description="standard deviation in pixels")
    noise: Spread = Field(description="standard deviation in grey levels of 255")
    rescale: Rescale = Field(description="factor, down and up again")
    webp: Jpeg = Field(default=Jpeg(enabled=False, p=0.25, quality=(50, 96)), description="quality, 1–100")
    erasing: Erasing = Field(
        default=Erasing(enabled=False, p=0.25, fraction=(0.02, 0.2), fill="random"),
        description="of the area; fill: random (values) | mean (colour)",
    )


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
    copies: Annotated[int, Interval(ge=0, le=20)] = Field(description="0–20 copies of each train image")
    one_degradation: bool = Field(
        default=True,
        description="at most one of jpeg, blur, noise, rescale, webp per image, drawn among those enabled; "
        "false = each on its own",
    )
    second_degradation: Fraction = Field(
        default=0.0,
        description="0–1; share of the degraded images that get a second one of these after the first; needs "
        "one_degradation",
    )
    interpolation: Interpolation = Field(
        default="bicubic", description="bicubic | bilinear | nearest; of rotation, zoom and crop, which are one warp"
    )
    fill: Fill = Field(
        default="reflect",
        description="reflect (the mirror image) | edge (the border's pixel) | black; what rotation, shift and "
        "zoom bring in from outside",
    )
    transforms: Transforms = Field(
        description="enabled; p: probability per image, 0–1; the range that the strength is drawn from, uniformly"
    )

    @model_validator(mode="after")
    def _second_follows_one(self) -> Self:
        require_one_degradation(self.one_degradation, self.second_degradation)
        return self


def require_one_degradation(one_degradation: bool, second_degradation: float) -> None:
    """Raise ValueError if there is a share of second degradations, but no choice of a first one."""
    if second_degradation and not one_degradation:
        raise ValueError(
            f"second_degradation, {second_degradation:g}, needs one_degradation: true; without it, each degradation is "
            "drawn on its own"
        )
