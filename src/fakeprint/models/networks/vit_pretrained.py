"""Vision transformer for pretrained weights (Dosovitskiy et al. 2021; Steiner et al. 2022), timm's; of system E.

ViT-B/16, 85,802,501 parameters with five classes on 224×224 images; or ViT-S/16 (21,667,589), ViT-Ti/16 (5,525,381).
timm's weights were trained on ImageNet-21k, then on ImageNet. The embedding of positions is resampled for other sides.
"""

from typing import Literal

from fakeprint.models.networks import Design
from fakeprint.models.networks.library import LibraryNetwork, library_network, require_patches


def build(
    design: Design, size: Literal["base", "small", "tiny"] = "base", weights: str | None = None
) -> LibraryNetwork:
    """ViT-B, -S or -Ti/16. Raises InputError if the side is not a multiple of 16 pixels."""
    require_patches(design, "vit_pretrained", 16)
    return library_network(design, "vit_pretrained", f"timm:vit_{size}_patch16_224", weights)
