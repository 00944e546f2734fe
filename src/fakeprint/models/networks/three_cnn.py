"""ThreeCNN (system C, UniBuc challenge): three convolutions, each pooled, and a head of two dense layers.

At width 1 and five classes it has 691,781 parameters. Sides of its maps on 100×100 images: 50, 25, 23 → 11, 4.
"""

from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import Input, conv_block, dense_head, scaled


def build(design: Design, dilation: int = 1) -> "ThreeCNN":
    """ThreeCNN; `dilation` spreads the last convolution. Raises InputError if nothing is left to pool."""
    smallest = 4 * (2 * dilation + 2)
    if design.side < smallest:
        raise InputError(
            f"prepare.image_size: three_cnn with dilation {dilation} needs images of at least {smallest} pixels per "
            f"side, not {design.side}; set models.three_cnn.input_size to scale them up"
        )
    return ThreeCNN(design, dilation)


class ThreeCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design, dilation: int) -> None:
        super().__init__()
        first, second, third, hidden = (scaled(channels, design.width) for channels in (64, 128, 192, 128))
        self.input = Input(design)
        self.block1 = conv_block(design, 3, first, padding=1)
        self.block2 = conv_block(design, first, second, padding=1)
        self.block3 = conv_block(design, second, third, dilation=dilation)
        self.head = dense_head(design, third, 4, hidden)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.head(self.block3(self.block2(self.block1(self.input(images)))))
        return logits
