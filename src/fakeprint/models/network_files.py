"""A trained network as files: `weights.safetensors` (nothing in it is executed on loading) and `model.json`."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fakeprint.errors import InputError
from fakeprint.files import sha256, share
from fakeprint.models import networks
from fakeprint.models.description import read_description, write_description
from fakeprint.params import suggestion

WEIGHTS = "weights.safetensors"
# By which torch.nn.init and timm fill weights
FILLING = {
    getattr(Tensor, name) for name in ("normal_", "uniform_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_")
}
AGAIN = "train it again, or take it from the cache with `dvc checkout`"


def save_network(folder: Path, network: nn.Module, description: dict[str, Any]) -> None:
    """Write a network into an existing folder.

    description: at least `name` (as in `NETWORKS`), `dataset` (a `Dataset` as a dict), `design` (a `Design` as a dict)
    and `options` (the network's own), which `load_network` needs to build it again.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    share(folder / WEIGHTS)
    write_description(folder, "network", {**description, "weights_sha256": sha256(folder / WEIGHTS)})


class SkipInitialisation(TorchFunctionMode):
    """Inside this context, parameters of new layers stay uninitialised: drawing a hundred million takes seconds.

    Only for a network whose weights are loaded next. Buffers, some of which are in no file, are filled as always.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`, except where it would fill a parameter."""
        kwargs = kwargs or {}
        filled = args[0] if args else kwargs.get("tensor")
        if isinstance(filled, nn.Parameter) and (
            func in FILLING or getattr(func, "__module__", None) == nn.init.__name__
        ):
            return filled
        return func(*args, **kwargs)


def load_network(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network, in evaluation mode on the CPU (channels last, the faster layout), and its description.

    Raises InputError if the files are missing, damaged, of another version, or not those of a network.
    """
    description = read_description(folder, "network")
    name = str(description.get("name"))
    if name not in networks.NETWORKS:
        raise InputError(
            f"{folder / 'model.json'}: the network '{name}' is unknown{suggestion(name, networks.NETWORKS)}"
        )
    path = folder / WEIGHTS
    try:
        if sha256(path) != description["weights_sha256"]:
            raise InputError(f"{path} does not match the model.json beside it: {AGAIN}")
        weights = load_file(path)
        design = networks.Design(**description["design"])
        with SkipInitialisation():
            network = networks.build(name, design, description["options"], pretrained=False)
        network.load_state_dict(weights)  # all of them: it raises where one is missing
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {AGAIN}") from None
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder} does not hold a network of this version ({reason}): {AGAIN}") from None
    return network.eval().to(memory_format=torch.channels_last), description
