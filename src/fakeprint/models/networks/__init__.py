"""The networks that params.yaml can name: one file each, loaded only when built. Nothing here imports torch by itself.

To add a network: a file NAME.py here with `build(classes, image_size, dropout, width, normalisation, **options)`,
an entry in `NETWORKS`, a block `models.NAME` in params.yaml, and its class in `fakeprint.params.Models`.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NetworkEntry:
    """What a network is, where it is from, and the side in pixels of the images that it was published with."""

    summary: str
    source: str
    input_size: int


@dataclass(frozen=True)
class NetworkSummary:
    """A network as published, with five classes: side of its images in pixels, parameters in all, and those trained."""

    input_size: int
    parameters: int
    trained: int


NETWORKS = {
    "hist_cnn": NetworkEntry(
        "residual CNN of five blocks beside an HSV histogram that it counts itself",
        "histogram-augmented residual CNN, UniBuc challenge (system B)",
        100,
    ),
    "three_cnn": NetworkEntry(
        "CNN of three convolutions and a two-layer head",
        "ThreeCNN, UniBuc challenge (system C)",
        100,
    ),
}


def build(
    name: str,
    classes: int,
    image_size: int,
    dropout: float,
    width: float,
    normalisation: str,
    options: dict[str, Any],
) -> "torch.nn.Module":
    """A network with random weights, drawn from torch's global generator.

    It takes float images (N, 3, image_size, image_size) in [0, 1] (uint8 / 255) and returns logits (N, classes);
    normalisation ("unit" or "imagenet") happens inside it. `dropout` in [0, 1), `width` multiplies the channels,
    `options` are the network's own (bins, dilation).
    Raises InputError where the images are too small for it, KeyError for a name that is not in `NETWORKS`.
    """
    NETWORKS[name]
    module = importlib.import_module(f"{__name__}.{name}")
    network: torch.nn.Module = module.build(classes, image_size, dropout, width, normalisation, **options)
    return network


def summary(name: str) -> NetworkSummary:
    """Size and parameter counts of a network as published: width 1, its own default options, five classes."""
    import torch

    size = NETWORKS[name].input_size
    with torch.device("meta"):
        network = build(name, 5, size, 0.5, 1.0, "unit", {})
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return NetworkSummary(size, sum(count for count, _ in counts), sum(count for count, trained in counts if trained))
