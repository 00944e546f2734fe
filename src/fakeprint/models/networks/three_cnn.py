"""ThreeCNN (system C, UniBuc challenge): three convolutions, each pooled, and a head of two dense layers.

At width 1 and five classes it has 691,781 parameters. Sides of its maps on 100×100 images: 50, 25, 23 → 11, 4.
"""

from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import Input, activation, block_dropout, gather, head_dropout, norm, scaled


def build(design: Design, dilation: int = 1) -> "ThreeCNN":
    """ThreeCNN; `dilation` spreads the last convolution. Raises InputError where that leaves nothing to pool."""
    smallest = 4 * (2 * dilation + 2)
    if design.side < smallest:
        raise InputError(
            f"prepare.image_size: three_cnn with dilation {dilation} needs images of {smallest} pixels a side or more, "
            f"not {design.side}"
        )
    return ThreeCNN(design, dilation)


class ThreeCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design, dilation: int) -> None:
        super().__init__()
        first, second, third, hidden = (scaled(channels, design.width) for channels in (64, 128, 192, 128))
        self.input = Input(design)
        self.block1 = _block(design, 3, first, padding=1)
        self.block2 = _block(design, first, second, padding=1)
        self.block3 = _block(design, second, third, dilation=dilation)
        places = 16 if (design.head or "flatten") == "flatten" else 1
        self.head = nn.Sequential(
            nn.Dropout2d(design.dropout) if design.dropout_at is None else nn.Identity(),
            gather(design, "flatten", side=4),
            nn.Linear(third * places, hidden),
            activation(design),
            head_dropout(design),
            nn.Linear(hidden, design.classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.head(self.block3(self.block2(self.block1(self.input(images)))))
        return logits


def _block(design: Design, inputs: int, outputs: int, padding: int = 0, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=padding, dilation=dilation),
        norm(design, outputs),
        activation(design),
        nn.MaxPool2d(2),
        *block_dropout(design),
    )
