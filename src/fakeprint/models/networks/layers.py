"""Layers and rules that all networks share."""

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Images (N, 3, H, W) in [0, 1] as the first convolution wants them.

    "unit" leaves them as they are; "imagenet" subtracts ImageNet's channel means and divides by its standard
    deviations.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "imagenet":
            self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise, same shape and dtype."""
        return (images - self.mean) / self.std if self.kind == "imagenet" else images


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8, at least 8; unchanged at width 1 for multiples of 8."""
    return max(8, 8 * round(channels * width / 8))
