"""Averages of a network's weights: over steps (EMA) and over the last epochs (SWA)."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


class MovingAverage:
    """The exponential moving average of a network's weights over optimiser steps (Polyak and Juditsky 1992).

    Running means and variances of batch norm are averaged as the weights are, so that they are those of the layers
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
        """The network has made a step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        torch._foreach_lerp_(*self.averaged, 1 - decay)
        for own, given in self.copied:
            own.copy_(given)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]


def add_to_mean(mean: State, state: State, count: int) -> State:
    """The mean of `count + 1` states, given that of `count` and one more; what is no float is the last one's."""
    if not count:
        return state
    return {
        key: mean[key] + (tensor - mean[key]) / (count + 1) if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }


@torch.no_grad()
def recompute_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set batch norm's running means and variances to those of these batches; averaged weights have none of their own.

    batches: float images (N, 3, H, W) on the device. A network without batch norm reads none. (Izmailov et al. 2018)
    """
    norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in norms]
    if not norms:
        return
    network.eval()  # without dropout, as the network will be used
    for layer in norms:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None  # each batch counts the same
    for images in batches:
        network(images)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
