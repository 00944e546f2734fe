"""Histogram-augmented residual CNN (system B, UniBuc challenge): five convolution blocks beside an HSV histogram.

Its publication gives blocks, sums, pools and head, not the channels; 32, 64, 128, 256, 512 are ours. At width 1,
16 bins and five classes it has 1,942,981 parameters. Sides of its maps on 100×100 images: 50, 25, 12, 12, 12.

The network computes the histogram itself, so that the image is its only input.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import (
    HSVHistogram,
    Input,
    activation,
    as_in_keras,
    block_dropout,
    gather,
    head_dropout,
    norm,
    scaled,
)

SLOPE = 0.1
CUT_NORMAL = 0.87962566103423978  # standard deviation of a standard normal distribution cut at ± 2


def build(design: Design, bins: int = 16, framework: Literal["torch", "keras"] = "torch") -> "HistCNN":
    """HistCNN, for images of 8 pixels per side or more. bins: per channel of the histogram, 0 = none. framework: whose
    defaults to use for batch norm, the first weights of dense layers, and He's normal distribution.
    """
    network = HistCNN(design, bins)
    if framework == "keras":
        as_in_keras(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            _he_normal(layer, framework)
    return network


def _he_normal(layer: nn.Conv2d, framework: str) -> None:
    """Weights as in He et al. 2015: torch's for LeakyReLU of this slope; Keras's for ReLU, cut at two deviations."""
    if framework == "torch":
        nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity="leaky_relu")
    else:
        std = math.sqrt(2 / layer.weight[0].numel()) / CUT_NORMAL
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class HistCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design, bins: int) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (scaled(channels, design.width) for channels in (32, 64, 128, 256, 512))
        colours, hidden = scaled(64, design.width), scaled(512, design.width)
        self.input = Input(design)
        self.block1 = _block(design, 3, c1, pool=True)
        self.block2 = _block(design, c1, c2, pool=True)
        self.block3 = _block(design, c2, c3, pool=True)
        self.block4 = _block(design, c3, c4, pool=False)
        self.block5 = _block(design, c4, c5, pool=False)
        # Blocks 2 and 3 halve the sides twice; pooling by 4 rounds an odd side down in the same way.
        self.skip1 = nn.Sequential(nn.MaxPool2d(4), nn.Conv2d(c1, c3, 1))
        self.skip3 = nn.Conv2d(c3, c5, 1)
        self.gather = gather(design, "pool", side=0)
        places = (design.side // 8) ** 2 if design.head == "flatten" else 1
        self.histogram = HSVHistogram(bins) if bins else None
        if bins:
            self.colours = nn.Sequential(nn.Linear(3 * bins, colours), activation(design, "leaky_relu", SLOPE))
        self.head = nn.Sequential(
            nn.Linear(c5 * places + colours * bool(bins), hidden),
            nn.BatchNorm1d(hidden),
            activation(design, "leaky_relu", SLOPE),
            head_dropout(design),
            nn.Linear(hidden, design.classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        first = self.block1(self.input(images))
        third = self.block3(self.block2(first)) + self.skip1(first)
        fifth = self.block5(self.block4(third)) + self.skip3(third)
        gathered = self.gather(fifth)
        if self.histogram is not None:
            gathered = torch.cat([gathered, self.colours(self.histogram(images))], dim=1)
        logits: Tensor = self.head(gathered)
        return logits


def _block(design: Design, inputs: int, outputs: int, pool: bool) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1), norm(design, outputs), activation(design, "leaky_relu", SLOPE)]
    return nn.Sequential(*layers, *[nn.MaxPool2d(2)] * pool, *block_dropout(design))
