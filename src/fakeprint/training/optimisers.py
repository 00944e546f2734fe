"""Optimisers, and which parameters their weight decay applies to."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

FUSED_ON = ("cpu", "cuda")  # kinds of devices


@dataclass(frozen=True)
class Optimiser:
    """An optimiser before it has a network.

    kind: "adam" (weight decay as an L2 penalty), "adamw" (decoupled), "sgd" or "muon" (decoupled). eps: of all but SGD.
    momentum, nesterov: of SGD and Muon. decay_norms: whether weight decay also applies to biases and the scales of
    norms.

    Muon (Jordan et al. 2024) steps along the nearest orthogonal matrix of a weight's momentum, here timm's, scaled to
    the size of AdamW's steps (Liu et al. 2025), so that both take the same learning rates. Its authors take AdamW for
    the last layer, biases and norms; here that is everything in the network's `head`, and all that is no matrix.
    """

    kind: str
    lr: float
    weight_decay: float = 0.0
    decay_norms: bool = True
    momentum: float = 0.9
    nesterov: bool = True
    eps: float = 1e-8

    def of(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of this network's parameters."""
        groups = self._groups(network)
        if self.kind == "muon":
            return self._muon(groups, network)
        common: dict[str, Any] = {"weight_decay": self.weight_decay, "fused": fused(network)}
        if self.kind == "adam":
            return torch.optim.Adam(groups, self.lr, eps=self.eps, **common)
        if self.kind == "adamw":
            return torch.optim.AdamW(groups, self.lr, eps=self.eps, **common)
        nesterov = self.nesterov and self.momentum > 0
        return torch.optim.SGD(groups, self.lr, self.momentum, nesterov=nesterov, **common)

    def _muon(self, groups: list[dict[str, Any]], network: nn.Module) -> torch.optim.Optimizer:
        from timm.optim import Muon  # takes a second

        names = network.named_parameters()
        matrices = {id(each) for name, each in names if each.ndim > 1 and not name.startswith("head.")}
        parts: list[dict[str, Any]] = []
        for group in groups:
            for options in ({"nesterov": self.nesterov}, {"nesterov": False, "use_fallback": True}):
                members = [each for each in group["params"] if (id(each) in matrices) != ("use_fallback" in options)]
                parts += [{**group, "params": members, **options}] if members else []
        shared: dict[str, Any] = {"weight_decay": self.weight_decay, "eps": self.eps, "betas": (0.9, 0.999)}
        return Muon(parts, lr=self.lr, momentum=self.momentum, adjust_lr_fn="match_rms_adamw", **shared)

    def _groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Parameters in two groups: with weight decay, and without.

        Without are the position and token embeddings that a timm network lists itself and, unless `decay_norms`, all
        parameters of one dimension: biases and the scales of norms.
        """
        without_decay = _no_weight_decay(network)
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in network.named_parameters():
            is_decayed = name not in without_decay and (self.decay_norms or parameter.ndim > 1)
            (decayed if is_decayed else others).append(parameter)
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]


def fused(network: nn.Module) -> bool:
    """Whether an optimiser of this network may update all its parameters in one kernel (torch's `fused`).

    On a CPU and on a GPU of CUDA, where all of them are floats. The steps are the same to within the rounding of
    float32, and on a CPU several times as fast: docs/models.md has the figures.
    """
    return all(each.device.type in FUSED_ON and each.is_floating_point() for each in network.parameters())


def restore(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what `state_dict` of an optimiser of the same parameters returned; this one stays fused or not, as it is.

    torch would take over from the state how steps are computed, too.
    """
    pairs = zip(state["param_groups"], optimiser.param_groups, strict=True)
    groups = [{**saved, "fused": own.get("fused"), "foreach": own.get("foreach")} for saved, own in pairs]
    optimiser.load_state_dict({**state, "param_groups": groups})


def _no_weight_decay(network: nn.Module) -> set[str]:
    """Names of the parameters that the network, or a part of it, lists in `no_weight_decay` (timm's convention)."""
    listed = [(path, getattr(module, "no_weight_decay", None)) for path, module in network.named_modules()]
    return {f"{path}.{name}".removeprefix(".") for path, names in listed if callable(names) for name in names()}


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of the optimiser's next step."""
    for group in optimiser.param_groups:
        group["lr"] = lr
