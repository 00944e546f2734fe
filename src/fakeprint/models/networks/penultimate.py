"""The penultimate features of a network: what its last dense layer reads. Every network in `NETWORKS` ends in one."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def last_dense(network: nn.Module) -> nn.Linear:
    """The layer that gives the logits: the last dense one in the network's `head`.

    Every network of the registry keeps its dense part there, and its logits are this layer's output. Raises ValueError
    for a network that is not built in this way.
    """
    dense = [layer for layer in getattr(network, "head", nn.Identity()).modules() if isinstance(layer, nn.Linear)]
    if not dense:
        raise ValueError(f"{type(network).__name__} has no dense layer in its head")
    return dense[-1]


@contextmanager
def noted_features(network: nn.Module) -> Iterator[list[Tensor]]:
    """Within this context each forward pass adds the input of the last dense layer, (N, D), to the list."""
    noted: list[Tensor] = []
    handle = last_dense(network).register_forward_pre_hook(lambda _, inputs: noted.append(inputs[0].detach()))
    try:
        yield noted
    finally:
        handle.remove()
