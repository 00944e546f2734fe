"""Networks as files: what is saved is loaded again; damaged files are named in one line."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.models.network_files import load_network, save_network

DESIGN = networks.Design(3, 32, width=0.25, normalisation="imagenet")
OPTIONS = {"bins": 8}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    network = networks.build("hist_cnn", DESIGN, OPTIONS).to(memory_format=torch.channels_last)
    network(torch.rand(8, 3, 32, 32))  # moves the running means
    folder = tmp_path / "hist_cnn"
    folder.mkdir()
    dataset = {"classes": ["a", "b", "c"], "image_size": 32}
    described = {"name": "hist_cnn", "dataset": dataset, "design": asdict(DESIGN), "options": OPTIONS, "best_epoch": 4}
    save_network(folder, network, described)
    return folder, network.eval()


def test_is_loaded_as_it_was_saved(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, network = saved
    loaded, description = load_network(folder)
    images = torch.rand(4, 3, 32, 32)
    assert not loaded.training
    assert torch.equal(loaded(images), network(images))
    assert (description["kind"], description["best_epoch"]) == ("network", 4)
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1  # whoever reads one file can read both


def test_loading_draws_no_weights(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = saved
    before = torch.get_rng_state()
    load_network(folder)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_file_without_one_of_the_weights(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, network = saved
    path = folder / "weights.safetensors"
    state = network.state_dict()
    for key, _ in network.named_parameters():
        save_file({name: tensor.contiguous() for name, tensor in state.items() if name != key}, path)
        change(folder, weights_sha256=digest(path))
        assert "does not hold a network of this version" in message(folder)


def message(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_network(folder)
    line = str(caught.value)
    assert "\n" not in line
    return line


def change(folder: Path, **values: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_missing_files(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = saved
    (folder / "weights.safetensors").unlink()
    assert "weights.safetensors is missing: train it again" in message(folder)
    (folder / "model.json").unlink()
    assert "model.json is missing: run `dvc repro` or `dvc checkout " in message(folder)


def test_one_flipped_bit(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = saved
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    assert "weights.safetensors does not match the model.json beside it" in message(folder)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_no_safetensors(saved: tuple[Path, torch.nn.Module], content: bytes) -> None:
    folder, _ = saved
    path = folder / "weights.safetensors"
    path.write_bytes(content)
    change(folder, weights_sha256=digest(path))
    assert "does not hold a network of this version" in message(folder)


def test_weights_of_another_network(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = saved
    path = folder / "weights.safetensors"
    save_file({"layer": torch.zeros(2)}, path)
    change(folder, weights_sha256=digest(path))
    assert "does not hold a network of this version" in message(folder)


def test_a_model_json_that_does_not_fit(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = saved
    change(folder, design={"dropout": 0.5})
    assert "does not hold a network of this version" in message(folder)
    change(folder, name="hist_cn")
    assert "the network 'hist_cn' is unknown; did you mean 'hist_cnn'?" in message(folder)
    change(folder, kind="classifier")
    assert "does not describe a network" in message(folder)
    (folder / "model.json").write_text("{")
    assert "model.json is not valid JSON" in message(folder)
