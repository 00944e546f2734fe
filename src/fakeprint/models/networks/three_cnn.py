"""ThreeCNN (system C, UniBuc challenge): three convolutions, each pooled, and a head of two dense layers.

At width 1 and five classes it has 691,781 parameters. Sides of its maps on 100×100 images: 50, 25, 23 → 11, 4.
"""

from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks.layers import Normalise, scaled


def build(
    classes: int, image_size: int, dropout: float, width: float, normalisation: str, dilation: int = 1
) -> "ThreeCNN":
    """ThreeCNN; `dilation` spreads the last convolution. Raises InputError where that leaves nothing to pool."""
    smallest = 4 * (2 * dilation + 2)
    if image_size < smallest:
        raise InputError(
            f"prepare.image_size: three_cnn with dilation {dilation} needs images of {smallest} pixels a side or more, "
            f"not {image_size}"
        )
    return ThreeCNN(classes, dropout, width, normalisation, dilation)


class ThreeCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, classes: int, dropout: float, width: float, normalisation: str, dilation: int) -> None:
        super().__init__()
        first, second, third, hidden = (scaled(channels, width) for channels in (64, 128, 192, 128))
        self.normalise = Normalise(normalisation)
        self.block1 = _block(3, first, padding=1)
        self.block2 = _block(first, second, padding=1)
        self.block3 = _block(second, third, dilation=dilation)
        self.head = nn.Sequential(
            nn.Dropout2d(dropout),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(third * 16, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.head(self.block3(self.block2(self.block1(self.normalise(images)))))
        return logits


def _block(inputs: int, outputs: int, padding: int = 0, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=padding, dilation=dilation),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
