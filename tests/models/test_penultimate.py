"""The penultimate features of every network: what its last dense layer turns into the logits."""

import pytest
import torch

from fakeprint.models import networks
from fakeprint.models.networks.penultimate import last_dense, noted_features


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_the_last_dense_layer_gives_the_logits(name: str) -> None:
    """On torch's meta device for all, whose largest take gigabytes; shapes and the module's identity are checked."""
    size = networks.NETWORKS[name].input_size
    with torch.device("meta"):
        network = networks.build(name, networks.Design(5, size), {}).eval()
    given: list[torch.Tensor] = []
    last_dense(network).register_forward_hook(lambda _, inputs, output: given.append(output))
    with noted_features(network) as noted:
        logits = network(torch.empty(2, 3, size, size, device="meta"))
    assert logits is given[0] or name == "specialist"  # which spreads its one logit over all classes
    assert noted[0].shape == (2, last_dense(network).in_features)
    assert logits.shape == (2, 5)


def test_features_times_weights_are_the_logits() -> None:
    torch.manual_seed(0)
    network = networks.build("hist_cnn", networks.Design(3, 32, width=0.125), {"bins": 8, "framework": "torch"}).eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.inference_mode(), noted_features(network) as noted:
        logits = network(images)
        network(images)
    layer = last_dense(network)
    assert torch.allclose(noted[0] @ layer.weight.detach().T + layer.bias.detach(), logits, atol=1e-6)
    assert len(noted) == 2
    network(images)
    assert len(noted) == 2  # nothing is noted outside the context


def test_a_network_without_a_dense_head() -> None:
    with pytest.raises(ValueError, match="Conv2d has no dense layer in its head"):
        last_dense(torch.nn.Conv2d(3, 3, 1))
