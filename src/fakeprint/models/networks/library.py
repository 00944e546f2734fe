"""Networks of torchvision and timm with the interface of our own: our `input`, the library's `body`, our `head`."""

from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.models.networks import Design
from fakeprint.models.networks.layers import Input, features_of, head_dropout
from fakeprint.models.pretrained import load_body


class LibraryNetwork(nn.Module):
    """Images (N, 3, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, design: Design, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.input = Input(design)
        self.body = body
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.head(self.body(self.input(images)))
        return logits


def library_network(
    design: Design,
    name: str,
    architecture: str,
    weights: str | None,
    *,
    dropout_inside: bool = False,
    head: nn.Module | None = None,
    cut: str | None = None,
) -> LibraryNetwork:
    """The network `name` of params.yaml, from an architecture as `load_body` takes it.

    dropout_inside: whether the architecture has its own dropout, which design.dropout then sets; otherwise dropout is
    before the last layer. head: replaces that dense layer; it gets the features of a body without the layer `cut`. A
    head that comes with the weights is kept if it fits; otherwise it is ignored, and a line says so.
    Raises InputError if the images or the weights do not fit.
    """
    key = f"models.{name}"
    options = {"dropout": design.dropout} if dropout_inside else {}
    body = load_body(architecture, weights, design.side, key, cut, **options)
    features = features_of(body.module, design)
    if head is None:
        before = nn.Identity() if dropout_inside else head_dropout(design)
        head = nn.Sequential(before, nn.Linear(features, design.classes))
    if body.head:
        _keep_fitting(head, body.head, key)
    return LibraryNetwork(design, body.module, head)


def _keep_fitting(head: nn.Module, brought: dict[str, Tensor], key: str) -> None:
    expected = {name: tensor.shape for name, tensor in head.state_dict().items()}
    if {name: tensor.shape for name, tensor in brought.items()} == expected:
        head.load_state_dict(brought)
    else:
        classes = [len(tensor) for tensor in brought.values()][-1]
        print(f"{key}.weights: the head for {classes:,} classes is not used; the new head starts at random", flush=True)


def require_patches(design: Design, name: str, patch: int) -> None:
    """Raise InputError if patches of this side in pixels do not cover the image."""
    if design.side % patch:
        near = max(patch, patch * round(design.side / patch))
        raise InputError(
            f"prepare.image_size: {name} divides images into patches of {patch}×{patch} pixels, and {design.side} is "
            f"not a multiple of {patch}; set models.{name}.input_size, for example to {near}"
        )
