"""Layers and rules shared by all networks."""

import contextlib
import copy

import torch
from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design
from fakeprint.models.pretrained import IMAGENET_MEAN, IMAGENET_STD


class Input(nn.Module):
    """Images (N, 3, H, W) in [0, 1] as the first convolution takes them: scaled to `design.input_size`, normalised.

    Scaling is bilinear, with antialiasing if it shrinks. "signed" gives [-1, 1]; "imagenet" and "dataset" subtract
    channel means and divide by standard deviations.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.side = design.side if design.side != design.image_size else None
        self.kind = design.normalisation
        if self.kind != "unit":
            mean, std = _statistics(design)
            self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scale and normalise: (N, 3, side, side)."""
        return self.normalised(self.scaled(images))

    def scaled(self, images: Tensor) -> Tensor:
        """Scale only: (N, 3, side, side) in [0, 1]."""
        if self.side is None:
            return images
        size = (self.side, self.side)
        return nn.functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)

    def normalised(self, images: Tensor) -> Tensor:
        """Normalise only, same shape."""
        return images if self.kind == "unit" else (images - self.mean) / self.std


def _statistics(design: Design) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if design.normalisation == "signed":
        return (0.5,) * 3, (0.5,) * 3
    if design.normalisation == "imagenet":
        return IMAGENET_MEAN, IMAGENET_STD
    if design.channel_mean is None or design.channel_std is None:
        raise InputError(
            'model.normalisation: "dataset" needs the channel means and standard deviations of the train images'
        )
    return design.channel_mean, design.channel_std


def activation(design: Design, published: str = "relu", slope: float = 0.1) -> nn.Module:
    """The activation of the design, by default the published one. slope: of leaky_relu below zero."""
    kinds = {
        "relu": lambda: nn.ReLU(inplace=True),
        "leaky_relu": lambda: nn.LeakyReLU(slope, inplace=True),
        "gelu": nn.GELU,
        "silu": lambda: nn.SiLU(inplace=True),
    }
    return kinds[design.activation or published]()


def norm(design: Design, channels: int, published: str = "batch") -> nn.Module:
    """Normalisation of (N, channels, H, W): batch, group (of 8 channels if that divides them, else one), none."""
    kind = design.norm or published
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
    return nn.Identity()


def block_dropout(design: Design) -> list[nn.Module]:
    """What follows each convolution block: Dropout2d if the design sets dropout there."""
    return [nn.Dropout2d(design.dropout)] if design.dropout_at in ("blocks", "both") else []


def head_dropout(design: Design) -> nn.Module:
    """Dropout of the dense part, unless the design sets it in the blocks only."""
    return nn.Identity() if design.dropout_at == "blocks" else nn.Dropout(design.dropout)


def gather(design: Design, published: str, side: int = 1) -> nn.Module:
    """From maps (N, C, H, W) to (N, features): "pool" averages each map, "flatten" keeps all values.

    side: of the maps that a published head pools to before it flattens them; 0 = no pooling.
    """
    if (design.head or published) == "pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*[nn.AdaptiveAvgPool2d(side)] * bool(side), nn.Flatten())


def conv_block(
    design: Design, inputs: int, outputs: int, kernel: int = 3, padding: int = 0, dilation: int = 1
) -> nn.Sequential:
    """Convolution, normalisation, activation (by default ReLU), max pool 2, dropout of channels."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation),
        norm(design, outputs),
        activation(design),
        nn.MaxPool2d(2),
        *block_dropout(design),
    )


def dense_head(design: Design, channels: int, side: int, hidden: int, outputs: int | None = None) -> nn.Sequential:
    """From maps (N, channels, H, W) to logits (N, classes) or (N, outputs), as in ThreeCNN and related networks.

    Dropout of channels, average pool to side × side (1 × 1 for the design's head "pool"), a dense layer with ReLU and
    dropout, and the last dense layer.
    """
    places = side**2 if (design.head or "flatten") == "flatten" else 1
    return nn.Sequential(
        nn.Dropout2d(design.dropout) if design.dropout_at is None else nn.Identity(),
        gather(design, "flatten", side=side),
        nn.Linear(channels * places, hidden),
        activation(design),
        head_dropout(design),
        nn.Linear(hidden, design.classes if outputs is None else outputs),
    )


def as_in_keras(network: nn.Module) -> None:
    """Use Keras's defaults where they differ from torch's and a publication does not say (https://keras.io/api/layers).

    Batch norm's ε is 1e-3 and its momentum 0.99 (0.01 in torch's definition); weights of convolutions and dense layers
    are Glorot-uniform (Glorot and Bengio 2010), biases 0.
    """
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eps, layer.momentum = 1e-3, 0.01
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def features_of(body: nn.Module, design: Design) -> int:
    """The number of features per image that `body` returns, found with one image; InputError if that fails."""
    with contextlib.suppress(Exception):  # of a body that torch's meta device does not know, an image is computed
        return _count_features(_shapes_of(body), design, "meta")
    training = body.training
    try:
        features = _count_features(body.eval(), design, str(next(body.parameters()).device))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(
            f"prepare.image_size: this network cannot take images of {design.side} pixels per side "
            f"({str(error).splitlines()[0]}); set its input_size to scale them"
        ) from None
    body.train(training)
    return features


def _shapes_of(body: nn.Module) -> nn.Module:
    """A copy in evaluation mode on torch's meta device, which computes shapes only: an image takes no time."""
    tensors = [*body.parameters(), *body.buffers()]
    # What deepcopy finds in its memo it does not copy.
    return copy.deepcopy(body, {id(tensor): torch.empty_like(tensor, device="meta") for tensor in tensors}).eval()


def _count_features(body: nn.Module, design: Design, device: str) -> int:
    with torch.no_grad():
        out = body(torch.zeros(1, 3, design.side, design.side, device=device))
    return int(out.flatten(1).shape[1])


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8, at least 8; unchanged at width 1 for multiples of 8."""
    return max(8, 8 * round(channels * width / 8))


class InFloat32:
    """Put before a layer's class by `image_layer_in_float32`: the layer computes in float32 under autocast too."""

    def forward(self, images: Tensor) -> Tensor:
        """The layer's output."""
        kind = images.device.type
        with torch.autocast(kind if torch.amp.is_autocast_available(kind) else "cpu", enabled=False):
            out: Tensor = super().forward(images)  # type: ignore[misc]
            return out


def image_layer_in_float32(network: nn.Module, image_size: int) -> nn.Module:
    """The network, with its first layer of weights outside autocast: image, weights, sums and gradients in float32.

    bfloat16 has 8 bits: it moves a pixel of 200 / 255 by half a grey level, more than many traces of a generator. The
    layer's output may be rounded, as between all other layers. The layer is found by sending an image through; names of
    weights do not change.
    """
    layer = _first_with_weights(network, image_size)
    if layer is not None and not isinstance(layer, InFloat32):
        # The class is changed, as by torch.nn.utils.parametrize, so that copies of the network keep it.
        layer.__class__ = type(type(layer).__name__, (InFloat32, type(layer)), {})
    return network


class _Reached(Exception):
    """Carries the first layer that an image reaches."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer


def _first_with_weights(network: nn.Module, image_size: int) -> nn.Module | None:
    def stop(layer: nn.Module, _: object) -> None:
        raise _Reached(layer)

    layers = [layer for layer in network.modules() if not list(layer.children())]
    weighted = [layer for layer in layers if any(parameter.ndim > 1 for parameter in layer.parameters())]
    hooks = [layer.register_forward_pre_hook(stop) for layer in weighted]
    try:
        with torch.no_grad():
            device = next(network.parameters()).device
            network(torch.zeros(1, 3, image_size, image_size, device=device))
    except _Reached as reached:
        return reached.layer
    finally:
        for hook in hooks:
            hook.remove()
    return None


class HSVHistogram(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → histograms (N, 3·bins) of hue, saturation and value; each row sums to one.

    Values are rounded to 8-bit levels. HSV is OpenCV's 8-bit one (hue in [0, 180), saturation and value in [0, 255]),
    computed with OpenCV's fixed-point tables: every colour falls into the same bin as with `cv2.cvtColor` and
    `cv2.calcHist`. No gradient flows through it.
    """

    per_value: Tensor
    per_range: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins
        levels = torch.arange(256).clamp(min=1).double()
        self.register_buffer("per_value", _fixed(255 / levels), persistent=False)
        self.register_buffer("per_range", _fixed(180 / (6 * levels)), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Count the histograms, float32."""
        hue, saturation, value = self.hsv((images.float() * 255).round().int())
        channels = torch.stack([hue * self.bins // 180, saturation * self.bins // 256, value * self.bins // 256], dim=1)
        count, pixels = len(images), hue[0].numel()
        places = torch.arange(count * 3, device=images.device).view(count, 3, 1) * self.bins
        index = (channels.flatten(2) + places).flatten()
        counts = torch.zeros(count * 3 * self.bins, device=images.device)
        counts.index_add_(0, index, counts.new_ones(()).expand(len(index)))
        return counts.view(count, 3 * self.bins) / (3 * pixels)

    def hsv(self, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """OpenCV's 8-bit hue [0, 180), saturation and value [0, 255], int32 (N, H, W), of levels int32 (N, 3, H, W)."""
        red, green, blue = levels.unbind(1)
        value = levels.amax(1)
        spread = value - levels.amin(1)
        saturation = _rounded(spread * self.per_value[value])
        sector = torch.where(value == green, blue - red + 2 * spread, red - green + 4 * spread)
        sector = torch.where(value == red, green - blue, sector)
        hue = _rounded(sector * self.per_range[spread])
        return torch.where(hue < 0, hue + 180, hue), saturation, value


def _fixed(factors: Tensor) -> Tensor:
    """Factors as int32 with 12 fractional bits, as in OpenCV's tables; that of level 0 is 0."""
    table = (factors * 4096).round().int()
    table[0] = 0
    return table


def _rounded(product: Tensor) -> Tensor:
    return (product + 2048) >> 12
