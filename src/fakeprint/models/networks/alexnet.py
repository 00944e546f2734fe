"""AlexNet (Krizhevsky, Sutskever and Hinton 2012), in the form of Krizhevsky 2014 that torchvision has; of system E.

With five classes it has 57,024,325 parameters.
"""

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network


def build(design: Design, weights: str | None = None) -> LibraryNetwork:
    """AlexNet; its own two dropouts take design.dropout. Images may be of any side of 63 pixels or more."""
    return library_network(design, "alexnet", "torchvision:alexnet", weights, dropout_inside=True)
