"""Any network of timm (Wightman 2019) by its name, with a linear head of our own."""

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network


def build(design: Design, architecture: str = "timm:resnet18", weights: str | None = None) -> LibraryNetwork:
    """The network of the name after "timm:". Raises InputError for a name that timm does not know."""
    return library_network(design, "timm", architecture, weights)
