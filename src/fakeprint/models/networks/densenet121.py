"""DenseNet-121 (Huang et al. 2017), torchvision's; of system E.

With five classes it has 6,958,981 parameters.
"""

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network


def build(design: Design, weights: str | None = None) -> LibraryNetwork:
    """DenseNet-121, with design.dropout before its last layer. For images of 32 pixels per side or more."""
    return library_network(design, "densenet121", "torchvision:densenet121", weights)
