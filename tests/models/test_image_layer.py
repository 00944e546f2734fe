"""The layer that sees the image: exact pixels under bfloat16, in every network."""

import copy
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from fakeprint.models import networks
from fakeprint.models.networks.layers import IMAGENET_MEAN, IMAGENET_STD, InFloat32

# Mean and standard deviation of each normalisation, and bfloat16's error in grey levels (rms).
NORMALISATIONS = {
    "unit": ((0.0,) * 3, (1.0,) * 3, 0.22),
    "signed": ((0.5,) * 3, (0.5,) * 3, 0.11),
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD, 0.12),
    "dataset": ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1), 0.12),
}
SIDE = {"four_cnn": 64}  # 32 for the others
OWN = [name for name, entry in networks.NETWORKS.items() if entry.own_layers]


class Products(TorchDispatchMode):
    """Records what each convolution multiplies: image or maps, and weights."""

    def __init__(self) -> None:
        super().__init__()
        self.forward: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.backward: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            self.forward.append(args[:2])
        if func is torch.ops.aten.convolution_backward.default:
            self.backward.append(args[:3])
        return func(*args, **(kwargs or {}))


def every_level() -> torch.Tensor:
    """uint8 (2, 32, 32, 3), each of the 256 levels in each channel equally often."""
    return torch.arange(2 * 32 * 32 * 3).remainder(256).to(torch.uint8).view(2, 32, 32, 3)


@pytest.mark.parametrize("kind", NORMALISATIONS)
@pytest.mark.parametrize("name", ["three_cnn", "trace_net"])
def test_every_grey_level_reaches_the_first_product_as_it_is(name: str, kind: str) -> None:
    mean, std, lost = NORMALISATIONS[kind]
    statistics = {"channel_mean": mean, "channel_std": std} if kind == "dataset" else {}
    network = networks.build(name, networks.Design(5, 32, width=0.25, normalisation=kind, **statistics), {})
    levels = every_level()
    images = levels.permute(0, 3, 1, 2).float().div_(255)
    with Products() as products, torch.autocast("cpu", dtype=torch.bfloat16):
        network(images)
    arrived, weights = products.forward[0]
    assert arrived.dtype == weights.dtype == torch.float32
    assert torch.equal(arrived[:, :3], network.input(images))

    def off(arrived: torch.Tensor) -> float:
        """Root mean square difference of grey levels."""
        shape = (1, 3, 1, 1)
        back = arrived[:, :3].double() * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
        return float((255 * back - levels.permute(0, 3, 1, 2)).square().mean().sqrt())

    assert off(arrived) < 1e-4
    assert off(arrived.bfloat16()) == pytest.approx(lost, abs=0.03), "the case must be one that loses something"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OWN, "resnet18"])
def test_in_every_network_the_image_layer_alone_is_in_float32(name: str) -> None:
    side = SIDE.get(name, 32)
    with FakeTensorMode():  # shapes and types only
        network = networks.build(name, networks.Design(5, side, width=1.0), {}).train()
        with torch.autocast("cpu", dtype=torch.bfloat16), Products() as products:
            loss = network(torch.rand(2, 3, side, side)).float().sum()
            loss.backward()
    first, *others = products.forward
    assert first[0].shape[1] in (3, 12) and {tensor.dtype for tensor in first} == {torch.float32}
    assert {tensor.dtype for tensor in products.backward[-1]} == {torch.float32}
    assert {tensor.dtype for pair in others for tensor in pair} <= {torch.bfloat16}
    assert sum(isinstance(layer, InFloat32) for layer in network.modules()) == 1


@pytest.mark.parametrize(
    ("name", "options", "layer"),
    [
        ("vit", {"dim": 24, "depth": 1}, "body.patch_embed.proj"),
        ("timm", {"architecture": "timm:mobilenetv3_small_050"}, "body.conv_stem"),
        ("alexnet", {}, "body.features.0"),
    ],
)
def test_a_librarys_image_layer_is_found(name: str, options: dict[str, Any], layer: str) -> None:
    network = networks.build(name, networks.Design(5, 64), options)
    assert [path for path, each in network.named_modules() if isinstance(each, InFloat32)] == [layer]


def test_names_of_weights_kinds_of_layers_and_copies_stay() -> None:
    network = networks.build("three_cnn", networks.Design(5, 32, width=0.25), {})
    assert "block1.0.weight" in network.state_dict()
    assert type(network.block1[0]).__name__ == "Conv2d" and isinstance(network.block1[0], torch.nn.Conv2d)
    copied = copy.deepcopy(network)
    assert isinstance(copied.block1[0], InFloat32) and copied.block1[0] is not network.block1[0]
