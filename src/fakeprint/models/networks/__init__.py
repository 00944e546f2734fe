"""The networks that params.yaml can name: one file each, imported when it is built. This file does not import torch.

To add a network: a file NAME.py here with `build(design, **options)`, an entry in `NETWORKS`, a block `models.NAME` in
params.yaml, and its class in `fakeprint.params.Models`.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fakeprint.errors import InputError

if TYPE_CHECKING:
    import torch

OWN_LAYERS = ("activation", "norm", "head", "dropout_at")


@dataclass(frozen=True)
class NetworkEntry:
    """What a network is, its source, and the side in pixels of the images it was published with.

    map_layer: the path of the layer whose maps Grad-CAM weighs, the last that still has places: attributes and, for
    sequences, numbers (−1 is the last). None where the architecture is a parameter: then the last layer that returns
    maps.
    own_layers: whether its layers are defined in this package, so that activation, norm, head and dropout_at can be
    chosen. counts_statistics: whether its publication counts the running means and variances of batch normalisation as
    parameters, as Keras does, though they are not trained.
    """

    summary: str
    source: str
    input_size: int
    map_layer: str | None
    own_layers: bool = True
    counts_statistics: bool = False


@dataclass(frozen=True)
class NetworkSummary:
    """A network as published, with five classes: side of its images in pixels, all parameters, trained parameters."""

    input_size: int
    parameters: int
    trained: int


@dataclass(frozen=True)
class Layer:
    """A layer as a network calls it: its name in the network, its class, the shape that it returns for one image (of a
    recurrent layer, its sequence), and the number of its own parameters.
    """

    name: str
    kind: str
    output: list[int]
    parameters: int


NETWORKS = {
    "hist_cnn": NetworkEntry(
        "residual CNN of five blocks beside an HSV histogram of the image",
        "histogram-augmented residual CNN, UniBuc challenge (system B)",
        100,
        "block5.2",
    ),
    "three_cnn": NetworkEntry(
        "CNN of three convolutions and a two-layer head",
        "ThreeCNN, UniBuc challenge (system C)",
        100,
        "block3.2",
    ),
    "trace_net": NetworkEntry(
        "residual network at full resolution on the image and its high-pass residuals",
        "our own, for small forensic images",
        100,
        "stages.-1.0",
    ),
    "four_cnn": NetworkEntry(
        "CNN of four convolutions without padding, each pooled, then normalised",
        "four-block CNN, UniBuc challenge (system A)",
        224,
        "block4.1",
        counts_statistics=True,
    ),
    "skip_cnn": NetworkEntry(
        "CNN of four convolutions and one shortcut, with a two-layer head",
        "SkipConCNN, UniBuc challenge (system C)",
        100,
        "block4.2",
    ),
    "attention_cnn": NetworkEntry(
        "CNN with squeeze-and-excitation and spatial attention at three scales",
        "idea: UniBuc challenge (system C); layers: our own",
        100,
        "block4.4",
    ),
    "two_cnn": NetworkEntry(
        "CNN of two convolutions, channels and kernel to be searched",
        "two-convolution CNN, UniBuc challenge (system C)",
        100,
        "block2.2",
    ),
    "five_cnn": NetworkEntry(
        "CNN of five convolutions",
        "five-convolution CNN, UniBuc challenge (system C)",
        100,
        "blocks.-1.2",
    ),
    "specialist": NetworkEntry(
        "CNN that tells one class from all others, a member for ensembles",
        "idea: UniBuc challenge (system C); layers: ThreeCNN's",
        100,
        "block3.2",
    ),
    "alexnet": NetworkEntry(
        "AlexNet", "Krizhevsky 2014, torchvision (system E)", 224, "body.features.11", own_layers=False
    ),
    "alexnet_rnn": NetworkEntry(
        "AlexNet's convolutions, read by recurrent layers over rows and columns",
        "system E; convolutions: torchvision",
        224,
        "body.features.11",
        own_layers=False,
    ),
    "vgg16": NetworkEntry(
        "VGG-16", "Simonyan and Zisserman 2015, torchvision (system E)", 224, "body.features.29", own_layers=False
    ),
    "xception": NetworkEntry("Xception", "Chollet 2017, timm (system E)", 299, "body.act4", own_layers=False),
    "resnet18": NetworkEntry(
        "ResNet-18", "He et al. 2016, torchvision (system E)", 224, "body.layer4.-1", own_layers=False
    ),
    "densenet121": NetworkEntry(
        "DenseNet-121", "Huang et al. 2017, torchvision (system E)", 224, "body.features.denseblock4", own_layers=False
    ),
    "vit": NetworkEntry(
        "vision transformer from scratch, of any patch, width and depth",
        "Dosovitskiy et al. 2021, timm (system E)",
        224,
        "body.blocks.-1.norm1",
        own_layers=False,
    ),
    "vit_pretrained": NetworkEntry(
        "vision transformer ViT-B/16, or S or Ti, for pretrained weights",
        "Dosovitskiy et al. 2021, timm (system E)",
        224,
        "body.blocks.-1.norm1",
        own_layers=False,
    ),
    "backbone": NetworkEntry(
        "pretrained backbone with a linear head; by default EfficientNet-Lite0",
        "linear baselines, CIFAKE (system D)",
        224,
        None,
        own_layers=False,
    ),
    "timm": NetworkEntry("any network of timm by its name", "timm, by default ResNet-18", 224, None, own_layers=False),
}


@dataclass(frozen=True)
class Design:
    """What every network is built from; None = as published.

    image_size: side of its images in pixels; input_size: the side that it scales them to first, None = no scaling.
    width multiplies the channels. dropout in [0, 1); dropout_at: "head", "blocks" or "both". normalisation: "unit"
    leaves [0, 1], "signed" stretches it to [-1, 1], "imagenet" standardises by ImageNet's channels, "dataset" by
    channel_mean and channel_std, those of the train split in [0, 1]. activation: "relu", "leaky_relu", "gelu", "silu";
    norm: "batch", "group", "none"; head: "pool" (global average) or "flatten".
    """

    classes: int
    image_size: int
    dropout: float = 0.5
    width: float = 1.0
    normalisation: str = "unit"
    input_size: int | None = None
    activation: str | None = None
    norm: str | None = None
    head: str | None = None
    dropout_at: str | None = None
    channel_mean: tuple[float, float, float] | None = None
    channel_std: tuple[float, float, float] | None = None

    @property
    def side(self) -> int:
        """Side in pixels of the images that reach the first layer."""
        return self.input_size or self.image_size


def build(name: str, design: Design, options: dict[str, Any], pretrained: bool = True) -> "torch.nn.Module":
    """A network with random weights, drawn from torch's global generator, or those that options["weights"] names.

    It takes float images (N, 3, image_size, image_size) in [0, 1] (uint8 / 255) and returns logits (N, classes);
    scaling and normalisation happen inside it, and its first layer computes in float32 whatever autocast says.
    options: the network's own (bins, dilation). pretrained: False ignores options["weights"], for a network whose
    trained weights are loaded next.
    Raises InputError if the images are too small for it, the design sets what a library's network does not have, or the
    pretrained weights cannot be loaded; KeyError for a name that is not in `NETWORKS`.
    """
    requested = [key for key in OWN_LAYERS if getattr(design, key) is not None]
    if requested and not NETWORKS[name].own_layers:
        raise InputError(
            f"models.{name}.{requested[0]} has no effect: {name} comes from a library, and of `model` it uses only "
            "dropout, normalisation and input_size"
        )
    if "weights" in options and not pretrained:
        options = {**options, "weights": None}
    module = importlib.import_module(f"{__name__}.{name}")
    layers = importlib.import_module(f"{__name__}.layers")
    network: torch.nn.Module = layers.image_layer_in_float32(module.build(design, **options), design.image_size)
    return network


def summary(name: str) -> NetworkSummary:
    """Image size and parameter counts of a network as published: width 1, default options, five classes."""
    size, network = NETWORKS[name].input_size, _as_published(name)
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    trained = sum(count for count, is_trained in counts if is_trained)
    parameters = sum(count for count, _ in counts)
    if NETWORKS[name].counts_statistics:
        parameters += sum(each.numel() for key, each in network.named_buffers() if "running" in key)
    return NetworkSummary(size, parameters, trained)


def layers_of(name: str) -> list[Layer]:
    """Every layer of a network as published, in the order in which an image passes them."""
    import torch

    network, size = _as_published(name).eval(), NETWORKS[name].input_size
    passed: list[Layer] = []

    def note(path: str, layer: "torch.nn.Module", output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        parameters = sum(parameter.numel() for parameter in layer.parameters())
        passed.append(Layer(path, type(layer).__name__, list(tensor.shape[1:]), parameters))

    for path, layer in network.named_modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda layer, _, output, path=path: note(path, layer, output))
    network(torch.empty(1, 3, size, size, device="meta"))
    return passed


def _as_published(name: str) -> "torch.nn.Module":
    """On torch's meta device: shapes without memory for weights."""
    import torch

    with torch.device("meta"):
        return build(name, Design(5, NETWORKS[name].input_size), {})
