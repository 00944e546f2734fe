"""Four-block CNN (system A, UniBuc challenge): convolutions without padding, each pooled and then normalised.

At width 1 and five classes it has 524,485 parameters as Keras counts them, with the 960 running means and variances
of batch normalisation; 523,525 are trained. Sides of its maps on 224×224 images: 222, 111, 109, 54, 52, 26, 24, 12.
First weights and batch norm are Keras's by default: the publication says nothing of them, and its counts are Keras's.
"""

from typing import Literal

from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import (
    Input,
    activation,
    as_in_keras,
    block_dropout,
    gather,
    head_dropout,
    norm,
    scaled,
)

SMALLEST = 46  # pixels per side of which one is left after the fourth pool


def build(design: Design, framework: Literal["torch", "keras"] = "keras") -> "FourCNN":
    """FourCNN; `framework`: whose first weights and batch norm it has.

    Raises InputError for images of fewer than 46 pixels per side.
    """
    if design.side < SMALLEST:
        raise InputError(
            f"prepare.image_size: four_cnn needs images of at least {SMALLEST} pixels per side, not {design.side}; "
            "set models.four_cnn.input_size to scale them up"
        )
    network = FourCNN(design)
    if framework == "keras":
        as_in_keras(network)
    return network


class FourCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        c1, c2, c3, c4, hidden = (scaled(channels, design.width) for channels in (32, 64, 128, 256, 512))
        self.input = Input(design)
        self.block1 = _block(design, 3, c1, nn.MaxPool2d(2))
        self.block2 = _block(design, c1, c2, nn.MaxPool2d(2))
        self.block3 = _block(design, c2, c3, nn.MaxPool2d(2))
        self.block4 = _block(design, c3, c4, nn.AvgPool2d(2))
        places = _side(design.side) ** 2 if design.head == "flatten" else 1
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


def _block(design: Design, inputs: int, outputs: int, pool: nn.Module) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3)
    return nn.Sequential(convolution, activation(design), pool, norm(design, outputs), *block_dropout(design))


def _side(side: int) -> int:
    """Side of the last block's maps."""
    for _ in range(4):
        side = (side - 2) // 2
    return side
