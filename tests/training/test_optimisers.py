"""Optimisers, against steps worked out by hand."""

from typing import Any

import pytest
import torch

from fakeprint.training.optimisers import Optimiser, set_learning_rate


def test_a_rate_reaches_every_group() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    optimiser = Optimiser("adam", lr=0.1, weight_decay=0.5, decay_norms=False).of(network)
    set_learning_rate(optimiser, 0.125)
    assert [group["lr"] for group in optimiser.param_groups] == [0.125, 0.125]


def test_weight_decay_leaves_norms_and_biases_out() -> None:
    # SGD without momentum, gradients 0: a decayed weight of 1 becomes 1 − 0.1 · 0.5.
    for decay_norms, vectors in ((True, 0.95), (False, 1.0)):
        network = torch.nn.Linear(1, 1)
        matrix, vector = network.weight, network.bias
        torch.nn.init.ones_(matrix), torch.nn.init.ones_(vector)
        optimiser = Optimiser("sgd", lr=0.1, momentum=0.0, weight_decay=0.5, decay_norms=decay_norms).of(network)
        matrix.grad, vector.grad = torch.zeros(1, 1), torch.zeros(1)
        optimiser.step()
        assert (matrix.item(), vector.item()) == pytest.approx((0.95, vectors))


@pytest.mark.parametrize("decay_norms", [True, False])
def test_embeddings_of_a_vision_transformer_are_not_decayed(decay_norms: bool) -> None:
    from fakeprint.models import networks

    with torch.device("meta"):
        network = networks.build("vit", networks.Design(5, 32), {"dim": 24, "depth": 1})
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = Optimiser("adamw", lr=0.1, weight_decay=0.5, decay_norms=decay_norms).of(network).param_groups
    without_decay = {names[each] for group in groups if group["weight_decay"] == 0 for each in group["params"]}
    assert {"body.pos_embed", "body.cls_token"} <= without_decay
    assert ("body.norm.weight" in without_decay) != decay_norms
    assert "body.patch_embed.proj.weight" not in without_decay
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_one_step_of_each_optimiser() -> None:
    # Weight 1, gradient 2, lr 0.1, decay 0.5. Adam's first step is lr against the sign of the gradient.
    def stepped(kind: str, **options: Any) -> float:
        network = torch.nn.ParameterList([torch.ones(1)])
        weight = network[0]
        optimiser = Optimiser(kind, lr=0.1, weight_decay=0.5, **options).of(network)
        weight.grad = torch.full((1,), 2.0)
        optimiser.step()
        return weight.item()

    assert stepped("adam") == pytest.approx(1 - 0.1)
    assert stepped("adamw") == pytest.approx(1 * (1 - 0.1 * 0.5) - 0.1)
    # SGD: gradient with decay 2.5; Nesterov: 2.5 + 0.9 · 2.5.
    assert stepped("sgd", momentum=0.9) == pytest.approx(1 - 0.1 * (2.5 + 0.9 * 2.5))
    # Without it, as in Keras and torch by themselves, the first step is plain.
    assert stepped("sgd", momentum=0.9, nesterov=False) == pytest.approx(1 - 0.1 * 2.5)
    # A large ε damps Adam's step: gradient with decay 2.5, 2.5 / (2.5 + 1).
    assert stepped("adam", eps=1.0) == pytest.approx(1 - 0.1 * 2.5 / 3.5)
    assert stepped("sgd", momentum=0.0) == pytest.approx(1 - 0.1 * 2.5)
