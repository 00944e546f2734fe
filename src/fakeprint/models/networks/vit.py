"""Vision transformer from scratch (Dosovitskiy et al. 2021), timm's, of system E, whose publication gives no sizes.

The default is ViT-Ti/16 (Touvron et al. 2021): patches of 16×16 pixels, 192 numbers per patch, 12 blocks, 3 heads. On
224×224 images and with five classes it has 5,525,381 parameters.
"""

from torch import nn

from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import head_dropout
from fakeprint.models.networks.library import LibraryNetwork, require_patches


def build(design: Design, patch: int = 16, dim: int = 192, depth: int = 12, heads: int = 3) -> LibraryNetwork:
    """ViT of `depth` blocks, `dim` numbers per patch. Raises InputError if patches do not cover the images."""
    from timm.models.vision_transformer import VisionTransformer

    require_patches(design, "vit", patch)
    body = VisionTransformer(
        img_size=design.side, patch_size=patch, embed_dim=dim, depth=depth, num_heads=heads, num_classes=0
    )
    head = nn.Sequential(head_dropout(design), nn.Linear(dim, design.classes))
    return LibraryNetwork(design, body, head)
