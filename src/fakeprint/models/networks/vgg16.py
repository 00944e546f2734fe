"""VGG-16 (Simonyan and Zisserman 2015), torchvision's, without batch normalisation; of system E.

With five classes it has 134,281,029 parameters.
"""

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network


def build(design: Design, weights: str | None = None) -> LibraryNetwork:
    """VGG-16; its two dropouts use design.dropout. For images of 32 pixels per side or more."""
    return library_network(design, "vgg16", "torchvision:vgg16", weights, dropout_inside=True)
