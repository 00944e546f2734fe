"""Where in an image a network found its answer (Grad-CAM), and the features that its last layer reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeprint.errors import InputError
from fakeprint.models.networks import NETWORKS

if TYPE_CHECKING:
    import torch

BATCH = 32  # images per pass, whose activations and gradients are held
INSTALL = "`pip install 'fakeprint[explain]'`"


@dataclass(frozen=True)
class NetworkParts:
    """A network in evaluation mode and its model.json. device: where it is."""

    network: "torch.nn.Module"
    description: dict[str, Any]
    device: str

    def answers(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities float64 (N, C) and penultimate features float32 (N, D) of images uint8 (N, S, S, 3).

        Penultimate features are what the last dense layer gets. Without test-time augmentation.
        """
        import torch

        logits, features = [], []
        with torch.inference_mode(), _penultimate(self.network) as reached:
            for start in range(0, len(images), BATCH):
                logits.append(self.network(self._inputs(images[start : start + BATCH])).cpu().double())
                features.append(reached[-1].flatten(1).cpu().float())
                reached.clear()
        return torch.softmax(torch.cat(logits), dim=1).numpy(), torch.cat(features).numpy()

    @cached_property
    def layer(self) -> tuple[str, bool] | None:
        """The path of the layer whose maps are weighed, and whether it returns tokens (N, T, D) instead of maps.

        None if no layer returns maps, channels first, or tokens of a square grid.
        """
        named = NETWORKS[self.description["name"]].map_layer
        kinds = self._kinds()
        if named is None:
            blocks = [path for path, kind in kinds.items() if path.endswith(".norm1") and kind == "tokens"]
            named = next((path for path in reversed(kinds) if kinds[path] == "maps"), None)
            named = blocks[-1] if blocks and not _has_maps_after(kinds, blocks[-1]) else named
        if named is None:
            return None
        path = _resolved(self.network, named)
        return (path, kinds[path] == "tokens") if kinds.get(path) in ("maps", "tokens") else None

    def maps(self, images: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Grad-CAM (Selvaraju et al. 2017) of one class per image.

        images: uint8 (N, S, S, 3); answers: class index of each, int (N,). Returns float32 (N, S, S), from 0 to 1 in
        each image, where 1 is the place that spoke most for the class; all 0 where nothing did.
        Raises InputError if the library is not installed or the network has no such layer.
        """
        import torch

        try:
            from pytorch_grad_cam import GradCAM
            from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
        except ImportError:
            raise InputError(f"explain: maps need the package grad-cam: {INSTALL}") from None
        if self.layer is None:
            raise InputError(f"explain: {self.description['name']} has no layer whose maps could be shown")
        path, has_tokens = self.layer
        layer = self.network.get_submodule(path)
        out = np.empty((len(images), *images.shape[1:3]), np.float32)
        reshape = self._grid if has_tokens else None
        # cuDNN's recurrent layers have no gradient in evaluation mode
        with torch.backends.cudnn.flags(enabled=not _is_recurrent(self.network), deterministic=True, allow_tf32=False):
            for start in range(0, len(images), BATCH):
                place = slice(start, start + BATCH)
                targets = [ClassifierOutputTarget(int(answer)) for answer in answers[place]]
                with GradCAM(self.network, [layer], reshape_transform=reshape) as cam:
                    out[place] = cam(self._inputs(images[place]), targets)
        self.network.zero_grad(set_to_none=True)
        return np.nan_to_num(out)

    def _grid(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Tokens (N, prefix + h · h, D) as maps (N, D, h, h), without those of no place."""
        prefix = getattr(self.network.body, "num_prefix_tokens", 1)
        side = round((tokens.shape[1] - prefix) ** 0.5)
        return tokens[:, prefix:].reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)

    def _inputs(self, images: np.ndarray) -> "torch.Tensor":
        import torch

        pixels = torch.from_numpy(np.array(images)).to(self.device)
        return pixels.permute(0, 3, 1, 2).float().div_(255)

    def _kinds(self) -> dict[str, str]:
        """What each layer returns for one image, in the order in which the image reaches them: maps, tokens, other."""
        import torch

        kinds: dict[str, str] = {}
        channels_last = getattr(getattr(self.network, "body", None), "output_fmt", "NCHW") == "NHWC"

        def note(path: str, output: Any) -> None:
            shape = tuple(getattr(output, "shape", ()))
            if len(shape) == 4 and min(shape[2:]) > 1 and not channels_last:
                kinds[path] = "maps"
            elif len(shape) == 3 and shape[1] > 1:
                kinds[path] = "tokens"
            else:
                kinds.pop(path, None)

        hooks = [
            layer.register_forward_hook(lambda _, __, output, path=path: note(path, output))
            for path, layer in self.network.named_modules()
            if path
        ]
        side = self.description["dataset"]["image_size"]
        try:
            with torch.inference_mode():
                self.network(torch.zeros(1, 3, side, side, device=self.device))
        finally:
            for hook in hooks:
                hook.remove()
        return kinds


def _has_maps_after(kinds: dict[str, str], path: str) -> bool:
    paths = list(kinds)
    return any(kinds[later] == "maps" for later in paths[paths.index(path) :])


def _resolved(network: "torch.nn.Module", path: str) -> str:
    """The path with −1 replaced by the number of the last layer of its sequence."""
    module, names = network, []
    for name in path.split("."):
        children = [child for child, _ in module.named_children()]
        names.append(children[-1] if name == "-1" else name)
        module = module.get_submodule(names[-1])
    return ".".join(names)


def _is_recurrent(network: "torch.nn.Module") -> bool:
    import torch

    return any(isinstance(layer, torch.nn.RNNBase) for layer in network.modules())


@contextmanager
def _penultimate(network: "torch.nn.Module") -> Iterator[list["torch.Tensor"]]:
    """A list to which each dense layer appends its input, in the order in which they are reached."""
    import torch

    reached: list[torch.Tensor] = []
    dense = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    hooks = [layer.register_forward_pre_hook(lambda _, inputs: reached.append(inputs[0])) for layer in dense]
    try:
        yield reached
    finally:
        for hook in hooks:
            hook.remove()
