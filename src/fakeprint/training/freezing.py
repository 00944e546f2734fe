"""Which parameters of a network are trained: all of them, or only its head."""

from torch import nn

from fakeprint.errors import InputError


class Freezing:
    """Switches a network between training all of it and training only its head.

    trained: names of the parameters that were trained when the network was built; others stay as they are.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}

    def apply(self, head_only: bool) -> bool:
        """Prepare the network for training steps. Returns whether other parameters are trained than before.

        What is frozen computes as in validation: no dropout, batch norm with its running statistics.
        """
        before = [parameter.requires_grad for parameter in self.network.parameters()]
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in self.trained and (not head_only or name.startswith("head.")))
        self.network.train()
        if head_only:
            self.network.eval()
            self.network.head.train()  # type: ignore[union-attr]
        return before != [parameter.requires_grad for parameter in self.network.parameters()]


def require_head(network: nn.Module, name: str) -> None:
    """Raise InputError if the network `name` has no separate head to train."""
    if not isinstance(getattr(network, "head", None), nn.Module):
        raise InputError(f"train.freeze: {name} has no separate head to train; set it to 0")
