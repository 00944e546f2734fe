"""ResNet-18 (He et al. 2016), torchvision's; of system E. With five classes it has 11,179,077 parameters."""

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network


def build(design: Design, weights: str | None = None) -> LibraryNetwork:
    """ResNet-18, with design.dropout before its last layer. For images of 8 pixels per side or more."""
    return library_network(design, "resnet18", "torchvision:resnet18", weights)
