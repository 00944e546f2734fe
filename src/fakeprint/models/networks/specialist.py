"""A specialist for one class (idea: system C, UniBuc challenge): is an image of this class, or of any other?

It is a binary network that fits in wherever the others do: it gives its class the logit z, and every other class the
constant −ln(C − 1). Softmax then gives its class the probability σ(z) and shares the rest equally, and the usual cross
entropy is that of logistic regression, apart from a constant. Alone it cannot tell the other classes apart; as a member
of an ensemble it corrects those that can. Its layers are ThreeCNN's, up to the last one.
"""

import math

import torch
from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import Input, conv_block, dense_head, scaled

SMALLEST = 16  # pixels per side of images


def build(design: Design, target: int = 4) -> "Specialist":
    """A specialist; `target` is the number of its class, from 0. Raises InputError if there is no such class."""
    if target >= design.classes:
        raise InputError(
            f"models.specialist.target: there is no class {target}; the data has {design.classes} classes, and their "
            f"numbers are 0 to {design.classes - 1}"
        )
    if design.side < SMALLEST:
        raise InputError(
            f"prepare.image_size: specialist needs images of at least {SMALLEST} pixels per side, not {design.side}; "
            "set models.specialist.input_size to scale them up"
        )
    return Specialist(design, target)


class Specialist(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design, target: int) -> None:
        super().__init__()
        first, second, third, hidden = (scaled(channels, design.width) for channels in (64, 128, 192, 128))
        self.input = Input(design)
        self.block1 = conv_block(design, 3, first, padding=1)
        self.block2 = conv_block(design, first, second, padding=1)
        self.block3 = conv_block(design, second, third)
        self.head = dense_head(design, third, 4, hidden, outputs=1)
        self.spread = Spread(target, design.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.spread(self.head(self.block3(self.block2(self.block1(self.input(images))))))
        return logits


class Spread(nn.Module):
    """The logit of one class against all others (N, 1) → logits of all classes (N, classes)."""

    is_target: Tensor
    others: Tensor

    def __init__(self, target: int, classes: int) -> None:
        super().__init__()
        is_target = nn.functional.one_hot(torch.tensor(target), classes).float()
        self.register_buffer("is_target", is_target, persistent=False)
        self.register_buffer("others", (is_target - 1) * math.log(classes - 1), persistent=False)

    def forward(self, logit: Tensor) -> Tensor:
        """Logits (N, classes), whose softmax gives every other class the same probability."""
        return logit * self.is_target + self.others
