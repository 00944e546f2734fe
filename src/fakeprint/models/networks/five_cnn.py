"""Five-convolution CNN (system C, UniBuc challenge), which overfits there.

Its publication gives the number of convolutions; the blocks are those of ThreeCNN, the channels (64, 128, 192, 256,
256) and the average pool to 2×2 are ours. At width 1 and five classes it has 1,463,365 parameters. Sides of its maps
on 100×100 images: 50, 25, 12, 6, 3, 2.
"""

from itertools import pairwise

from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import Input, conv_block, dense_head, scaled

SMALLEST = 32  # pixels per side of which one is left after five pools


def build(design: Design) -> "FiveCNN":
    """FiveCNN. Raises InputError for images of fewer than 32 pixels per side."""
    if design.side < SMALLEST:
        raise InputError(
            f"prepare.image_size: five_cnn needs images of at least {SMALLEST} pixels per side, not {design.side}; "
            "set models.five_cnn.input_size to scale them up"
        )
    return FiveCNN(design)


class FiveCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        channels = [3, *(scaled(each, design.width) for each in (64, 128, 192, 256, 256))]
        self.input = Input(design)
        self.blocks = nn.Sequential(*(conv_block(design, *pair, padding=1) for pair in pairwise(channels)))
        self.head = dense_head(design, channels[-1], 2, scaled(128, design.width))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.head(self.blocks(self.input(images)))
        return logits
