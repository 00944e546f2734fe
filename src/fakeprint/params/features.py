"""`features`: the options of each feature set."""

from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import Field, NonNegativeInt

from fakeprint.params.block import Block, Distinct, TimmName, Weights, Whole


class Histogram(Block):
    bins: Annotated[int, Interval(ge=2, le=32)] = Field(description="2–32 bins per channel")


class Pixels(Block):
    size: Annotated[int, Interval(ge=4, le=256)] = Field(
        description="4–256; side in pixels that the image is shrunk to"
    )


class Residual(Block):
    truncation: Annotated[int, Interval(ge=1, le=4)] = Field(
        description="1–4; differences, in steps, are clipped at ± this number"
    )
    orders: Distinct[Annotated[Literal[1, 2, 3], Whole]] = Field(min_length=1, description="of difference: 1, 2, 3")
    steps: Distinct[Annotated[int, Interval(ge=1, le=32)]] = Field(
        min_length=1, description="grey levels, 1–32: 1 shows the finest traces, 4 coarser ones; each adds tables"
    )
    joint: bool = Field(description="red, green and blue together")
    opponent: bool = Field(description="red − green and blue − green as channels of their own")
    srm: bool = Field(description="3×3 kernels, and extremes of four differences")
    squares: bool = Field(
        default=False, description="patterns of 2×2 neighbours and of two colours, ±1 step, which see mirroring"
    )


class Spectrum(Block):
    bins: Annotated[int, Interval(ge=4, le=256)] = Field(description="4–256 radial bins")


class ResidualImage(Block):
    denoiser: Literal["median", "wavelet", "right", "down", "square", "laplacian"] = Field(
        description="median | wavelet | a high-pass filter instead: right, down, square, laplacian"
    )
    channels: Literal["rgb", "grey"] = Field(description="rgb | grey (their mean, a third of the numbers)")
    border: NonNegativeInt = Field(description="pixels cut off on each side, where a denoiser has no neighbours")


class BackboneFeatures(Block):
    architecture: TimmName = Field(description="timm:NAME")
    weights: Weights = Field(
        description="lite0 (of the extra `lite0`, no connection needed) | default (timm's, fetched once) | "
        "data/weights/FILE"
    )
    input_size: Annotated[int, Interval(ge=16, le=1024)] | None = Field(
        default=224, description="side in pixels that images are scaled to; null = not scaled"
    )


class Features(Block):
    """One block per feature set; its name is the name of the set in `fakeprint.features`."""

    rgb_hist: Histogram | None = Field(
        default=None, description="bins per channel of the joint histogram: 8 → 512 numbers"
    )
    hsv_hist: Histogram | None = Field(default=None, description="bins per channel: 16 → 48 numbers")
    hsv_joint: Histogram | None = Field(
        default=None, description="bins per channel of the joint histogram: 8 → 512 numbers"
    )
    pixels: Pixels | None = Field(
        default=None, description="side in pixels that the image is shrunk to: 32 → 3,072 numbers"
    )
    residual: Residual | None = Field(default=None, description="co-occurrences of pixel differences")
    spectrum: Spectrum | None = Field(
        default=None,
        description="radial bins of the log power spectrum, per channel, of the image and of its median residual",
    )
    residual_image: ResidualImage | None = Field(
        default=None, description="the image minus its denoised self: 6 bytes per pixel and image on disk"
    )
    backbone: BackboneFeatures | None = Field(
        default=None, description="pooled features of a pretrained network, as they are"
    )
