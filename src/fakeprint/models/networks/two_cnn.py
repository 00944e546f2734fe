"""Two-convolution CNN (system C, UniBuc challenge), in which that system searched channels and kernel.

Its publication gives what was searched (best: 64, 128, kernel 5); blocks and head are those of ThreeCNN. At width 1,
64 and 128 channels, kernel 5 and five classes it has 473,093 parameters. Sides of its maps on 100×100 images:
50, 25, 4.
"""

from torch import Tensor, nn

from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import Input, conv_block, dense_head, scaled


def build(design: Design, out1: int = 64, out2: int = 128, kernel: int = 5) -> "TwoCNN":
    """TwoCNN, for images of 4 pixels per side or more. out1, out2: channels before `design.width`. kernel: odd."""
    return TwoCNN(design, out1, out2, kernel)


class TwoCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design, out1: int, out2: int, kernel: int) -> None:
        super().__init__()
        first, second, hidden = (scaled(channels, design.width) for channels in (out1, out2, 128))
        self.input = Input(design)
        self.block1 = conv_block(design, 3, first, kernel, padding=kernel // 2)
        self.block2 = conv_block(design, first, second, kernel, padding=kernel // 2)
        self.head = dense_head(design, second, 4, hidden)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.head(self.block2(self.block1(self.input(images))))
        return logits
