"""`features`: the options of each feature set."""

from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import Field

from fakeprint.params.block import Block, Distinct, TimmName, Weights, Whole


class Histogram(Block):
    bins: Annotated[int, Interval(ge=2, le=32)]


class Pixels(Block):
    size: Annotated[int, Interval(ge=4, le=256)]


class Residual(Block):
    truncation: Annotated[int, Interval(ge=1, le=4)]
    orders: Distinct[Annotated[Literal[1, 2, 3], Whole]] = Field(min_length=1)
    steps: Distinct[Annotated[int, Interval(ge=1, le=32)]] = Field(min_length=1)
    joint: bool
    opponent: bool
    srm: bool


class Spectrum(Block):
    bins: Annotated[int, Interval(ge=4, le=256)]


class BackboneFeatures(Block):
    architecture: TimmName
    weights: Weights
    input_size: Annotated[int, Interval(ge=16, le=1024)] | None = None


class Features(Block):
    """One block per feature set; its name is the name of the set in `fakeprint.features`."""

    rgb_hist: Histogram | None = None
    hsv_hist: Histogram | None = None
    hsv_joint: Histogram | None = None
    pixels: Pixels | None = None
    residual: Residual | None = None
    spectrum: Spectrum | None = None
    backbone: BackboneFeatures | None = None
