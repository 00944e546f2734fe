"""CNN with channel attention and spatial attention at several scales (system C, UniBuc challenge).

Its publication names squeeze-and-excitation blocks and multi-scale attention, and no layers: those here are ours.
Four blocks of [convolution, batch normalisation, ReLU, squeeze and excitation, multi-scale spatial attention, max
pool] with 64, 128, 192 and 256 channels, global average pool, and two dense layers. At width 1 and five classes it has
791,185 parameters. Sides of its maps on 100×100 images: 50, 25, 12, 6.
"""

import torch
from torch import Tensor, nn

from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import Input, activation, block_dropout, gather, head_dropout, norm, scaled

REDUCTION = 16
KERNELS = (3, 5, 7)


def build(design: Design) -> "AttentionCNN":
    """AttentionCNN, for images of 16 pixels per side or more."""
    return AttentionCNN(design)


class AttentionCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        c1, c2, c3, c4, hidden = (scaled(channels, design.width) for channels in (64, 128, 192, 256, 128))
        self.input = Input(design)
        self.block1 = _block(design, 3, c1)
        self.block2 = _block(design, c1, c2)
        self.block3 = _block(design, c2, c3)
        self.block4 = _block(design, c3, c4)
        places = (design.side // 16) ** 2 if design.head == "flatten" else 1
        self.head = nn.Sequential(
            gather(design, "pool", side=0),
            nn.Linear(c4 * places, hidden),
            activation(design),
            head_dropout(design),
            nn.Linear(hidden, design.classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.head(self.block4(self.block3(self.block2(self.block1(self.input(images))))))
        return logits


class ChannelAttention(nn.Module):
    """Squeeze and excitation: each map of (N, C, H, W) times a factor in (0, 1) of all maps' means (Hu et al. 2018)."""

    def __init__(self, design: Design, channels: int) -> None:
        super().__init__()
        squeezed = max(4, channels // REDUCTION)
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            activation(design),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        weighted: Tensor = maps * self.factors(maps)
        return weighted


class MultiScaleAttention(nn.Module):
    """Each place of (N, C, H, W) times a factor in (0, 1) of its neighbourhoods of 3×3, 5×5 and 7×7.

    As in the spatial attention of Woo et al. 2018 (CBAM), convolutions see mean and maximum over the channels; here
    there is one convolution per scale, and the logits of the factors are their mean.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList(nn.Conv2d(2, 1, kernel, padding=kernel // 2) for kernel in KERNELS)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        seen = torch.cat([maps.mean(1, keepdim=True), maps.amax(1, keepdim=True)], dim=1)
        return maps * torch.stack([scale(seen) for scale in self.scales]).mean(0).sigmoid()


def _block(design: Design, inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        norm(design, outputs),
        activation(design),
        ChannelAttention(design, outputs),
        MultiScaleAttention(),
        nn.MaxPool2d(2),
        *block_dropout(design),
    )
