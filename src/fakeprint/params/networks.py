"""`model` and `models`: what every network shares, and each network's own options."""

from typing import Annotated, Any, Literal, Self

from annotated_types import Interval, MultipleOf
from pydantic import model_validator

from fakeprint.params.block import BelowOne, Block, TimmName, Weights, Whole

Width = Annotated[float, Interval(gt=0, le=4)]
Normalisation = Literal["unit", "signed", "imagenet", "dataset"]
Framework = Literal["torch", "keras"]
Channels = Annotated[int, Interval(ge=8, le=1024), MultipleOf(8)]


class Architecture(Block):
    """What can be chosen of any network's layers; None = as the network was published."""

    dropout: BelowOne | None = None
    width: Width | None = None
    normalisation: Normalisation | None = None
    input_size: Annotated[int, Interval(ge=8, le=1024)] | None = None
    activation: Literal["relu", "leaky_relu", "gelu", "silu"] | None = None
    norm: Literal["batch", "group", "none"] | None = None
    head: Literal["pool", "flatten"] | None = None
    dropout_at: Literal["head", "blocks", "both"] | None = None


class Model(Architecture):
    """What every network shares."""

    dropout: BelowOne
    width: Width
    normalisation: Normalisation


class Network(Architecture):
    """One network's overrides of `model` and `train`; None = what the shared block says."""

    train: dict[str, Any] = {}


class HistCNN(Network):
    bins: Annotated[int, Interval(ge=2, le=64)] = 16
    framework: Framework = "torch"


class FourCNN(Network):
    framework: Framework = "keras"


class ThreeCNN(Network):
    dilation: Annotated[int, Interval(ge=1, le=4)] = 1


class TraceNet(Network):
    high_pass: bool = True
    histogram_bins: Annotated[int, Interval(ge=0, le=64)] = 0
    blocks: Annotated[int, Interval(ge=1, le=4)] = 1


class SkipCNN(Network):
    residual: bool = True


class TwoCNN(Network):
    out1: Channels = 64
    out2: Channels = 128
    kernel: Annotated[Literal[1, 3, 5, 7, 9, 11], Whole] = 5


class FixedLayers(Network):
    """A network that a library builds, of one size."""

    @model_validator(mode="after")
    def _no_width(self) -> Self:
        if self.width is not None:
            raise ValueError("width has no effect on a network that a library builds; take it out")
        return self


class LibraryNetwork(FixedLayers):
    """A network of torchvision or timm; weights: None, "default", "lite0", or a file in `WEIGHTS`."""

    weights: Weights | None = None


class AlexNetRNN(LibraryNetwork):
    cell: Literal["lstm", "gru"] = "lstm"
    hidden: Annotated[int, Interval(ge=1, le=4096)] = 256


class ViT(FixedLayers):
    patch: Annotated[int, Interval(ge=2, le=64)] = 16
    dim: Annotated[int, Interval(ge=8, le=2048)] = 192
    depth: Annotated[int, Interval(ge=1, le=48)] = 12
    heads: Annotated[int, Interval(ge=1, le=64)] = 3

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")
        return self


class ViTPretrained(LibraryNetwork):
    size: Literal["base", "small", "tiny"] = "base"


class Timm(LibraryNetwork):
    architecture: TimmName = "timm:resnet18"


class Backbone(LibraryNetwork):
    architecture: TimmName = "timm:tf_efficientnet_lite0"


class Models(Block):
    """One block per network; its name is the name of the network's file in `fakeprint.models.networks`."""

    hist_cnn: HistCNN | None = None
    three_cnn: ThreeCNN | None = None
    trace_net: TraceNet | None = None
    four_cnn: FourCNN | None = None
    skip_cnn: SkipCNN | None = None
    attention_cnn: Network | None = None
    two_cnn: TwoCNN | None = None
    five_cnn: Network | None = None
    alexnet: LibraryNetwork | None = None
    alexnet_rnn: AlexNetRNN | None = None
    vgg16: LibraryNetwork | None = None
    xception: LibraryNetwork | None = None
    resnet18: LibraryNetwork | None = None
    densenet121: LibraryNetwork | None = None
    vit: ViT | None = None
    vit_pretrained: ViTPretrained | None = None
    backbone: Backbone | None = None
    timm: Timm | None = None
