"""SkipConCNN (system C, UniBuc challenge): four convolutions, the third and fourth around a shortcut, and a dense head.

At width 1 and five classes it has 8,695,045 parameters. Sides of its maps on 100×100 images: 100, 50, 25, 6.
"""

from torch import Tensor, nn

from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import Input, activation, block_dropout, dense_head, norm, scaled


def build(design: Design, residual: bool = True) -> "SkipCNN":
    """SkipConCNN, for images of 8 pixels per side or more. residual: whether it has its shortcut."""
    return SkipCNN(design, residual)


class SkipCNN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design, residual: bool) -> None:
        super().__init__()
        c1, c2, c3, hidden = (scaled(channels, design.width) for channels in (128, 256, 512, 128))
        self.input = Input(design)
        self.block1 = nn.Sequential(*_convolution(design, 3, c1), *block_dropout(design))
        self.block2 = nn.Sequential(*_convolution(design, c1, c2), nn.MaxPool2d(2), *block_dropout(design))
        self.block3 = ResidualBlock(design, c2, c3, residual)
        self.pool3 = nn.Sequential(nn.MaxPool2d(2), *block_dropout(design))
        self.block4 = nn.Sequential(*_convolution(design, c3, c3), *block_dropout(design))
        self.head = dense_head(design, c3, 6, hidden)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        maps = self.block2(self.block1(self.input(images)))
        logits: Tensor = self.head(self.block4(self.pool3(self.block3(maps))))
        return logits


class ResidualBlock(nn.Module):
    """Maps (N, inputs, H, W) → (N, outputs, H, W): two convolutions plus a 1×1 one around them (He et al. 2016)."""

    def __init__(self, design: Design, inputs: int, outputs: int, residual: bool) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *_convolution(design, inputs, outputs), nn.Conv2d(outputs, outputs, 3, padding=1), norm(design, outputs)
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), norm(design, outputs)) if residual else None
        self.activation = activation(design)

    def forward(self, maps: Tensor) -> Tensor:
        """Main path plus shortcut, then the activation."""
        main = self.main(maps)
        both: Tensor = self.activation(main if self.shortcut is None else main + self.shortcut(maps))
        return both


def _convolution(design: Design, inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), norm(design, outputs), activation(design)]
