"""A backbone with a linear head, which can be trained with or without the backbone (system D, CIFAKE).

The default is EfficientNet-Lite0 (Liu 2020; Tan and Le 2019), whose weights a package brings: 1,280 features an image.
With five classes it has 3,377,413 parameters, 6,405 of them the head's.
"""

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network
from fakeprint.models.pretrained import LITE0


def build(design: Design, architecture: str = LITE0, weights: str | None = None) -> LibraryNetwork:
    """The network of the name after "timm:" without its last layer, and a dense layer with design.dropout.

    Raises InputError for a name that timm has not.
    """
    return library_network(design, "backbone", architecture, weights)
