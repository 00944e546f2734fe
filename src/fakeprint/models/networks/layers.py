"""Layers and rules that all networks share."""

import torch
from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Input(nn.Module):
    """Images (N, 3, H, W) in [0, 1] as the first convolution wants them: scaled to `design.input_size`, normalised.

    Scaling is bilinear, antialiased where it shrinks. "imagenet" and "dataset" subtract channel means and divide by
    standard deviations.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.side = design.side if design.side != design.image_size else None
        self.kind = design.normalisation
        if self.kind != "unit":
            mean, std = _statistics(design)
            self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scale and normalise: (N, 3, side, side)."""
        if self.side is not None:
            size = (self.side, self.side)
            images = nn.functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        return images if self.kind == "unit" else (images - self.mean) / self.std


def _statistics(design: Design) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if design.normalisation == "imagenet":
        return IMAGENET_MEAN, IMAGENET_STD
    if design.channel_mean is None or design.channel_std is None:
        raise InputError('model.normalisation: "dataset" needs the channel mean and deviation of the train images')
    return design.channel_mean, design.channel_std


def activation(design: Design, published: str = "relu", slope: float = 0.1) -> nn.Module:
    """The activation that the design asks for, else the published one. slope: of leaky_relu below zero."""
    kinds = {
        "relu": lambda: nn.ReLU(inplace=True),
        "leaky_relu": lambda: nn.LeakyReLU(slope, inplace=True),
        "gelu": nn.GELU,
        "silu": lambda: nn.SiLU(inplace=True),
    }
    return kinds[design.activation or published]()


def norm(design: Design, channels: int, published: str = "batch") -> nn.Module:
    """Normalisation of (N, channels, H, W): batch, group (of 8 channels where that divides them, else one), none."""
    kind = design.norm or published
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
    return nn.Identity()


def block_dropout(design: Design) -> list[nn.Module]:
    """What stands after each convolution block: Dropout2d where the design asks for dropout there."""
    return [nn.Dropout2d(design.dropout)] if design.dropout_at in ("blocks", "both") else []


def head_dropout(design: Design) -> nn.Module:
    """Dropout of the dense part, unless the design asks for it in the blocks only."""
    return nn.Identity() if design.dropout_at == "blocks" else nn.Dropout(design.dropout)


def gather(design: Design, published: str, side: int = 1) -> nn.Module:
    """From maps (N, C, H, W) to (N, features): "pool" averages each map, "flatten" keeps all that is there.

    side: a published head that pools to side × side before it flattens; 0 = nothing is pooled before.
    """
    if (design.head or published) == "pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*[nn.AdaptiveAvgPool2d(side)] * bool(side), nn.Flatten())


def features_of(body: nn.Module, design: Design) -> int:
    """Numbers an image that `body` gives, counted by sending one image through it; too small an image is InputError."""
    training = body.training
    try:
        with torch.no_grad():
            parameter = next(body.parameters())
            out = body.eval()(torch.zeros(1, 3, design.side, design.side, device=parameter.device))
    except RuntimeError as error:
        raise InputError(
            f"prepare.image_size: images of {design.side} pixels a side are too small for this network "
            f"({str(error).splitlines()[0]})"
        ) from None
    body.train(training)
    return int(out.flatten(1).shape[1])


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8, at least 8; unchanged at width 1 for multiples of 8."""
    return max(8, 8 * round(channels * width / 8))
