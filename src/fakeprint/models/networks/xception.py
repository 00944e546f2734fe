"""Xception (Chollet 2017), timm's `legacy_xception`, the original's layers; of system E.

With five classes it has 20,817,197 parameters.
"""

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network


def build(design: Design, weights: str | None = None) -> LibraryNetwork:
    """Xception, with design.dropout before its last layer. For images of 32 pixels per side or more."""
    return library_network(design, "xception", "timm:legacy_xception", weights)
