"""`model` and `models`: what every network shares, and each network's own options."""

from typing import Annotated, Any, Literal, Self

from annotated_types import Interval, MultipleOf
from pydantic import Field, NonNegativeInt, model_validator

from fakeprint.params.block import BelowOne, Block, TimmName, Weights, Whole

Width = Annotated[float, Interval(gt=0, le=4)]
Normalisation = Literal["unit", "signed", "imagenet", "dataset"]
Framework = Literal["torch", "keras"]
Channels = Annotated[int, Interval(ge=8, le=1024), MultipleOf(8)]


class Architecture(Block):
    """What can be chosen of any network's layers; None = as the network was published."""

    dropout: BelowOne | None = Field(default=None, description="0–1; probability that a unit is dropped, in the head")
    width: Width | None = Field(default=None, description="multiplies the number of channels; 1 = as published")
    normalisation: Normalisation | None = Field(
        default=None,
        description="unit ([0, 1]) | signed ([-1, 1]) | imagenet (its mean and deviation per channel) | "
        "dataset (the train images')",
    )
    input_size: Annotated[int, Interval(ge=8, le=1024)] | None = Field(
        default=None, description="side in pixels that images are scaled to inside the network; null = not scaled"
    )
    activation: Literal["relu", "leaky_relu", "gelu", "silu"] | None = Field(
        default=None, description="relu | leaky_relu | gelu | silu; null = as the network was published"
    )
    norm: Literal["batch", "group", "none"] | None = Field(
        default=None, description="batch | group | none; of the convolutions; null = as the network was published"
    )
    head: Literal["pool", "flatten"] | None = Field(
        default=None, description="pool (each map's average) | flatten; null = as the network was published"
    )
    dropout_at: Literal["head", "blocks", "both"] | None = Field(
        default=None,
        description="head (the dense part) | blocks (whole channels after each convolution block) | both; "
        "null = as published",
    )


class Model(Architecture):
    """What every network shares."""

    dropout: BelowOne = Field(description="0–1; probability that a unit is dropped, in the head")
    width: Width = Field(description="multiplies the number of channels; 1 = as published")
    normalisation: Normalisation = Field(
        description="unit ([0, 1]) | signed ([-1, 1]) | imagenet (its mean and deviation per channel) | "
        "dataset (the train images')"
    )


class Network(Architecture):
    """One network's overrides of `model` and `train`; None = what the shared block says."""

    train: dict[str, Any] = Field(default={}, description="overrides of the block `train`, as in {lr: 0.001}")


class HistCNN(Network):
    bins: Annotated[int, Interval(ge=0, le=64)] = Field(
        default=16, description="0–64; bins per channel of its HSV histogram; 0 = none"
    )
    framework: Framework = Field(
        default="torch", description="torch | keras; whose first weights and batch norm the network has"
    )


class FourCNN(Network):
    framework: Framework = Field(
        default="keras", description="torch | keras; whose first weights and batch norm the network has"
    )


class ThreeCNN(Network):
    dilation: Annotated[int, Interval(ge=1, le=4)] = Field(default=1, description="1–4; of the last convolution")


class TraceNet(Network):
    high_pass: bool = Field(default=True, description="reads the image's high-pass residuals, too")
    histogram_bins: Annotated[int, Interval(ge=0, le=64)] = Field(
        default=0, description="0–64; bins per channel of a colour histogram beside the convolutions; 0 = none"
    )
    blocks: Annotated[int, Interval(ge=1, le=4)] = Field(default=1, description="1–4; residual blocks per stage")
    colour_residuals: bool = Field(
        default=False, description="reads the residuals of the colour differences R − G and B − G, too; needs high_pass"
    )
    pooling: Literal["average", "statistics", "covariance"] = Field(
        default="average",
        description="average (of the last stage's maps) | statistics (of every stage's) | covariance (of the second's, "
        "and average)",
    )
    space_to_depth: bool = Field(
        default=False, description="reads blocks of 2×2 pixels: the first stage works at half the resolution, faster"
    )
    whitened_patches: bool = Field(
        default=False, description="reads 3×3 patches in the principal axes of the train images' patches, too"
    )
    stem_channels: Channels = Field(default=32, description="channels of its first stage at width 1, a multiple of 8")
    cooccurrences: bool = Field(
        default=False,
        description="counts patterns of three neighbouring residuals beside the convolutions; needs high_pass",
    )

    @model_validator(mode="after")
    def _has_residuals(self) -> Self:
        if self.colour_residuals and not self.high_pass:
            raise ValueError("colour_residuals needs high_pass: true, whose residuals it subtracts")
        if self.cooccurrences and not self.high_pass:
            raise ValueError("cooccurrences needs high_pass: true, whose residuals it counts")
        return self


class SkipCNN(Network):
    residual: bool = Field(default=True, description="false leaves the shortcut out")


class TwoCNN(Network):
    out1: Channels = Field(default=64, description="channels of the first convolution, a multiple of 8")
    out2: Channels = Field(default=128, description="channels of the second convolution, a multiple of 8")
    kernel: Annotated[Literal[1, 3, 5, 7, 9, 11], Whole] = Field(
        default=5, description="1, 3, 5, 7, 9 or 11; side of the kernels"
    )


class Specialist(Network):
    target: NonNegativeInt = Field(
        default=4, description="the number of its class, from 0, in the order of the confusion matrix"
    )


class FixedLayers(Network):
    """A network that a library builds, of one size."""

    @model_validator(mode="after")
    def _no_width(self) -> Self:
        if self.width is not None:
            raise ValueError("width has no effect on a network of torchvision or timm; remove it")
        return self


class LibraryNetwork(FixedLayers):
    """A network of torchvision or timm; weights: None, "default", "lite0", or a file in `WEIGHTS`."""

    weights: Weights | None = Field(
        default=None,
        description="null (random) | default (the library's, fetched once) | lite0 (of the extra `lite0`) | "
        "data/weights/FILE",
    )


class AlexNetRNN(LibraryNetwork):
    cell: Literal["lstm", "gru"] = Field(default="lstm", description="lstm | gru")
    hidden: Annotated[int, Interval(ge=1, le=4096)] = Field(
        default=256, description="units of each of its two recurrent layers"
    )


class ViT(FixedLayers):
    patch: Annotated[int, Interval(ge=2, le=64)] = Field(default=16, description="side of a patch in pixels")
    dim: Annotated[int, Interval(ge=8, le=2048)] = Field(default=192, description="numbers per patch")
    depth: Annotated[int, Interval(ge=1, le=48)] = Field(default=12, description="blocks")
    heads: Annotated[int, Interval(ge=1, le=64)] = Field(default=3, description="attention heads; divides dim")

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim, {self.dim}, should be a multiple of heads, {self.heads}")
        return self


class ViTPretrained(LibraryNetwork):
    size: Literal["base", "small", "tiny"] = Field(
        default="base", description="base (ViT-B/16) | small (ViT-S/16) | tiny (ViT-Ti/16)"
    )


class Timm(LibraryNetwork):
    architecture: TimmName = Field(default="timm:resnet18", description="timm:NAME")


class Backbone(LibraryNetwork):
    architecture: TimmName = Field(default="timm:tf_efficientnet_lite0", description="timm:NAME")
    weights: Weights | None = Field(
        default="lite0",
        description="lite0 (of the extra `lite0`) | null (random) | default (the library's, fetched once) | "
        "data/weights/FILE",
    )


class Models(Block):
    """One block per network; its name is the name of the network's file in `fakeprint.models.networks`."""

    hist_cnn: HistCNN | None = Field(default=None, description="residual CNN beside an HSV histogram")
    three_cnn: ThreeCNN | None = Field(default=None, description="CNN of three convolutions")
    trace_net: TraceNet | None = Field(
        default=None, description="residual network at full resolution on the image and its high-pass residuals"
    )
    four_cnn: FourCNN | None = Field(default=None, description="CNN of four convolutions")
    skip_cnn: SkipCNN | None = Field(default=None, description="residual: false leaves the shortcut out")
    attention_cnn: Network | None = Field(
        default=None, description="CNN with squeeze-and-excitation and spatial attention"
    )
    two_cnn: TwoCNN | None = Field(
        default=None, description="channels (multiples of 8) and kernel (1, 3, 5, 7, 9, 11) of its convolutions"
    )
    five_cnn: Network | None = Field(default=None, description="CNN of five convolutions")
    specialist: Specialist | None = Field(
        default=None, description="one class against all others; target: the number of its class, from 0"
    )
    alexnet: LibraryNetwork | None = Field(default=None, description="63 pixels per side or more")
    alexnet_rnn: AlexNetRNN | None = Field(
        default=None, description="cell: lstm | gru; hidden: units of each of its two recurrent layers"
    )
    vgg16: LibraryNetwork | None = Field(
        default=None, description="32 pixels per side or more, and so xception and densenet121"
    )
    xception: LibraryNetwork | None = Field(default=None, description="Xception, 32 pixels per side or more")
    resnet18: LibraryNetwork | None = Field(default=None, description="ResNet-18")
    densenet121: LibraryNetwork | None = Field(default=None, description="DenseNet-121, 32 pixels per side or more")
    vit: ViT | None = Field(
        default=None, description="side of a patch in pixels, numbers per patch, blocks, attention heads"
    )
    vit_pretrained: ViTPretrained | None = Field(
        default=None, description="base | small | tiny: ViT-B/16, -S/16, -Ti/16"
    )
    backbone: Backbone | None = Field(default=None, description="a pretrained network with a linear head")
    timm: Timm | None = Field(default=None, description="any network of timm")
