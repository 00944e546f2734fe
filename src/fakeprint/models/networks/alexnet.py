"""AlexNet (Krizhevsky, Sutskever and Hinton 2012), in torchvision's form, of Krizhevsky 2014; of system E.

With five classes it has 57,024,325 parameters.
"""

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network


def build(design: Design, weights: str | None = None) -> LibraryNetwork:
    """AlexNet; its two dropouts use design.dropout. For images of 63 pixels per side or more."""
    return library_network(design, "alexnet", "torchvision:alexnet", weights, dropout_inside=True)
