"""A trained network as files: `weights.safetensors` (nothing in it is executed on loading) and `model.json`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fakeprint.errors import InputError
from fakeprint.files import read_json, write_json
from fakeprint.models import networks
from fakeprint.params import near

WEIGHTS = "weights.safetensors"
DESCRIPTION = "model.json"
AGAIN = "train it again, or take it from the cache with `dvc checkout`"


def save_network(folder: Path, network: torch.nn.Module, description: dict[str, Any]) -> None:
    """Write a network into an existing folder.

    `description` holds at least `name` (as in `NETWORKS`), `dataset` (a `Dataset` as a dict), `design` (a `Design` as a
    dict) and `options` (the network's own): all that `load_network` needs to build it again.
    """
    save_file(
        {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}, folder / WEIGHTS
    )
    write_json(folder / DESCRIPTION, {"kind": "network", **description, "weights_sha256": _digest(folder / WEIGHTS)})


def load_network(folder: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network, in evaluation mode on the CPU (channels last, the faster layout), and its description.

    Raises InputError where the files are missing, damaged, of another version, or not those of a network.
    """
    description = _description(folder)
    path = folder / WEIGHTS
    try:
        if _digest(path) != description["weights_sha256"]:
            raise InputError(f"{path} is not the file that {DESCRIPTION} beside it was written with: {AGAIN}")
        weights = load_file(path)
        design = networks.Design(**description["design"])
        network = networks.build(description["name"], design, description["options"], pretrained=False)
        network.load_state_dict(weights)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {AGAIN}") from None
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder} does not hold a network of this version ({reason}): {AGAIN}") from None
    return network.eval().to(memory_format=torch.channels_last), description


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = read_json(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {AGAIN}") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path} is not valid JSON: {AGAIN}") from None
    if not isinstance(description, dict) or description.get("kind") != "network":
        raise InputError(f"{path} does not describe a network: {AGAIN}")
    name = str(description.get("name"))
    if name not in networks.NETWORKS:
        raise InputError(f"{path}: the network '{name}' is unknown{near(name, networks.NETWORKS)}")
    return description


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
