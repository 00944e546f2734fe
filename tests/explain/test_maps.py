"""Grad-CAM by hand on a small network, on real networks, and the layer of every network that can be named."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from fakeprint.data.arrays import Dataset
from fakeprint.errors import InputError
from fakeprint.explain.maps import NetworkParts
from fakeprint.models import networks


def described(name: str, side: int) -> dict:
    return {"name": name, "dataset": asdict(Dataset(["a", "b"], ["a", "b"], side, "squash", 10**6))}


class Pooled(torch.nn.Module):
    """Two maps (red, blue minus red), pooled, and a dense layer: class 0 reads the first map, class 1 the second."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Conv2d(3, 2, 1, bias=False)
        self.head = torch.nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.body.weight[:] = torch.tensor([[1.0, 0, 0], [-1.0, 0, 1.0]])[:, :, None, None]
            self.head.weight[:] = torch.eye(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean((2, 3)))


def test_a_map_by_hand() -> None:
    """The gradient of a class is 1/HW at its own map and 0 at the other: Grad-CAM is that map, positive part, to 1."""
    parts = NetworkParts(Pooled().eval(), described("timm", 8), "cpu")
    assert parts.layer == ("body", False)
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[0, 2, 3, 0] = 200
    image[0, 5, 5, 0] = 100
    image[0, 6, 1, 2] = 50
    found = parts.maps(np.repeat(image, 2, axis=0), np.array([0, 1]))
    assert found.dtype == np.float32 and found.shape == (2, 8, 8)
    assert found[0, 2, 3] == pytest.approx(1, abs=1e-5) and found[0, 5, 5] == pytest.approx(0.5, abs=1e-5)
    assert found[1, 6, 1] == pytest.approx(1, abs=1e-5)
    assert np.count_nonzero(found[0]) == 2 and np.count_nonzero(found[1]) == 1
    assert not parts.maps(image * 0, np.array([0])).any()  # nothing spoke for it
    probabilities, features = parts.answers(image)
    np.testing.assert_allclose(features, [[300 / 255 / 64, -250 / 255 / 64]], rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network_has_a_layer_for_its_map(name: str) -> None:
    """On torch's meta device, which has shapes and no numbers."""
    side = networks.NETWORKS[name].input_size
    parts = NetworkParts(networks._as_published(name).eval(), described(name, side), "meta")
    assert parts.layer is not None
    path, has_tokens = parts.layer
    assert has_tokens == (name in ("vit", "vit_pretrained"))
    shapes = []
    parts.network.get_submodule(path).register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    parts.network(torch.zeros(1, 3, side, side, device="meta"))
    if has_tokens:
        assert path.endswith("norm1") and shapes[0][1] == 1 + (side // 16) ** 2
    else:
        assert len(shapes[0]) == 4 and 4 <= min(shapes[0][2:]) <= 50


def parts_of(name: str, side: int, **options: object) -> NetworkParts:
    torch.manual_seed(0)
    own = {"width": 0.1} if networks.NETWORKS[name].own_layers else {}
    network = networks.build(name, networks.Design(3, side, **own), options)
    return NetworkParts(network.eval(), described(name, side), "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side", "options"),
    [
        ("trace_net", 32, {"blocks": 2}),
        ("hist_cnn", 32, {}),
        ("alexnet_rnn", 63, {}),
        ("vit", 32, {"patch": 8, "dim": 32, "depth": 2, "heads": 2}),
        ("timm", 32, {"architecture": "timm:resnet10t", "weights": None}),
        ("timm", 32, {"architecture": "timm:vit_tiny_patch16_224", "weights": None}),
    ],
)
def test_maps_of_real_networks(name: str, side: int, options: dict) -> None:
    parts = parts_of(name, side, **options)
    images = np.random.default_rng(0).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    answers = np.array([0, 1, 2, 0, 1])
    found = parts.maps(images, answers)
    assert found.shape == (5, side, side) and found.min() >= 0 and found.max() == pytest.approx(1, abs=0.01)
    assert found.std(axis=(1, 2)).max() > 0.01
    np.testing.assert_array_equal(found, parts.maps(images, answers))
    probabilities, features = parts.answers(images)
    with torch.inference_mode():
        logits = parts.network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    np.testing.assert_allclose(probabilities, torch.softmax(logits.double(), 1).numpy(), atol=1e-6)
    last = [layer for layer in parts.network.modules() if isinstance(layer, torch.nn.Linear)][-1]
    assert features.shape == (5, last.in_features)
    assert all(parameter.grad is None for parameter in parts.network.parameters())


@pytest.mark.slow
def test_a_network_without_maps_is_one_line() -> None:
    """Swin's maps have their channels last."""
    parts = parts_of("timm", 224, architecture="timm:swin_tiny_patch4_window7_224", weights=None)
    assert parts.layer is None
    with pytest.raises(InputError, match=r"^explain: timm has no layer whose maps could be shown$"):
        parts.maps(np.zeros((1, 224, 224, 3), np.uint8), np.array([0]))
