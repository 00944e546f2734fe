"""Averages of a network's weights: over steps (EMA) and over the last epochs (SWA)."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


@dataclass(frozen=True)
class Averaging:
    """Which averages a phase computes.

    ema: decay of the moving average over steps, in [0, 1). swa: share of the phase's epochs, at its end, whose weights
    are averaged, in [0, 1). 0 = none.
    """

    ema: float = 0.0
    swa: float = 0.0

    def includes(self, epoch: int, epochs: int) -> bool:
        """Whether the weights after this epoch, counted from 1, are part of the mean over the last of `epochs`."""
        return bool(self.swa) and epoch > epochs - max(1, round(self.swa * epochs))


class MovingAverage:
    """The exponential moving average of a network's weights over optimiser steps (Polyak and Juditsky 1992).

    Running means and variances of batch norm are averaged like the weights, so that they belong to the averaged layers
    before them; counters and tables are copied. In step t, from 0, the decay is min(decay, (1 + t) / (10 + t)), so that
    the random start is soon forgotten (as in TensorFlow's ExponentialMovingAverage).

    network: a copy that holds the average.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.steps = 0
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self.averaged = [own for own, _ in averaged], [given for _, given in averaged]
        self.copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights that the network has after a step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        torch._foreach_lerp_(*self.averaged, 1 - decay)
        for own, given in self.copied:
            own.copy_(given)

    def state_dict(self) -> dict[str, Any]:
        """The state, for `load_state_dict`."""
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]


class EpochMean:
    """The mean of the weights after several epochs (SWA, Izmailov et al. 2018).

    weights: the mean so far, empty before the first epoch; what is not a float is that of the last epoch. count: of the
    epochs in it.
    """

    def __init__(self) -> None:
        self.weights: State = {}
        self.count = 0

    def add(self, weights: State) -> None:
        """Add the weights after one more epoch."""
        if self.count:
            weights = {
                key: self.weights[key] + (tensor - self.weights[key]) / (self.count + 1)
                if tensor.is_floating_point()
                else tensor
                for key, tensor in weights.items()
            }
        self.weights = weights
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        """The state, for `load_state_dict`."""
        return {"weights": self.weights, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.weights, self.count = state["weights"], state["count"]


def copied(network: nn.Module) -> State:
    """A copy of the network's weights and buffers on the CPU."""
    return {key: tensor.detach().to("cpu", copy=True) for key, tensor in network.state_dict().items()}


@torch.no_grad()
def recompute_batch_norm(network: nn.Module, batches: Iterable[Tensor], part: nn.Module | None = None) -> None:
    """Set batch norm's running means and variances to those of these batches; averaged weights have none of their own.

    batches: float images (N, 3, H, W) on the device; without batch norm none is read (Izmailov et al. 2018). part: of
    the network, whose layers get new statistics; None = all. Others keep theirs and compute as in prediction.
    """
    layers = (network if part is None else part).modules()
    norms = [layer for layer in layers if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in norms]
    if not norms:
        return
    network.eval()  # without dropout, as in prediction
    for layer in norms:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None  # each batch counts the same
    for images in batches:
        network(images)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
