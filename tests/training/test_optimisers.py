"""Optimisers, against steps worked out by hand."""

from typing import Any

import pytest
import torch

from fakeprint.training.optimisers import Optimiser, fused, restore, set_learning_rate


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


OPTIMISERS: list[tuple[str, dict[str, Any]]] = [("adam", {}), ("adamw", {"decay_norms": False}), ("sgd", {})]


def network_of(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(7, 33), torch.nn.BatchNorm1d(33), torch.nn.Linear(33, 5))


def unfused(optimiser: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """One of the same parameters whose steps torch computes tensor by tensor, as every optimiser once was here."""
    options = {key: value for key, value in optimiser.defaults.items() if key != "decoupled_weight_decay"}
    groups = [{**group, "fused": False, "foreach": False} for group in optimiser.param_groups]
    return type(optimiser)(groups, **{**options, "fused": False, "foreach": False})


def steps(network: torch.nn.Module, optimiser: torch.optim.Optimizer, seeds: range) -> None:
    """Steps with drawn gradients."""
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimiser.step()


@pytest.mark.parametrize(("kind", "options"), OPTIMISERS)
def test_fused_steps_are_those_of_the_plain_formula(kind: str, options: dict[str, Any]) -> None:
    chosen = Optimiser(kind, lr=0.01, weight_decay=0.1, **options)
    networks = [network_of(0), network_of(0)]
    at_once, one_by_one = chosen.of(networks[0]), unfused(chosen.of(networks[1]))
    assert [group["fused"] for group in at_once.param_groups] == [True] * len(at_once.param_groups)
    assert not any(group["fused"] for group in one_by_one.param_groups)
    for network, optimiser in zip(networks, (at_once, one_by_one), strict=True):
        steps(network, optimiser, range(20))
    for first, second in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "options"), OPTIMISERS)
def test_a_state_from_before_fused_steps_continues_with_them(kind: str, options: dict[str, Any]) -> None:
    chosen = Optimiser(kind, lr=0.01, weight_decay=0.1, **options)
    whole = network_of(0)
    steps(whole, chosen.of(whole), range(10))
    part = network_of(0)
    before = unfused(chosen.of(part))
    steps(part, before, range(5))
    after = chosen.of(part)
    restore(after, before.state_dict())
    assert all(group["fused"] and not group["foreach"] for group in after.param_groups)
    steps(part, after, range(5, 10))
    for first, second in zip(whole.parameters(), part.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


def test_only_where_torch_has_it() -> None:
    assert fused(network_of(0))
    assert not fused(network_of(0).to("meta"))  # as on MPS
    assert not fused(torch.nn.ParameterList([torch.zeros(1, dtype=torch.complex64)]))


class WithHead(torch.nn.Module):
    """A convolution, a norm and a dense layer, then the head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.ModuleDict(
            {"conv": torch.nn.Conv2d(4, 8, 3), "norm": torch.nn.BatchNorm2d(8), "dense": torch.nn.Linear(16, 12)}
        )
        self.head = torch.nn.Linear(12, 5)


def test_muon_steps_along_orthogonal_matrices_and_leaves_the_rest_to_adamw() -> None:
    networks = [WithHead(), WithHead()]
    options: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1}
    optimisers = [Optimiser("muon", **options).of(networks[0]), Optimiser("adamw", **options).of(networks[1])]
    before = {name: weight.detach().clone() for name, weight in networks[0].named_parameters()}
    for network, optimiser in zip(networks, optimisers, strict=True):
        generator = torch.Generator().manual_seed(1)
        for weight in network.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimiser.step()
    by_adamw = dict(networks[1].named_parameters())
    for name, weight in networks[0].named_parameters():
        if name in ("body.conv.weight", "body.dense.weight"):
            step = (weight - before[name] * (1 - 0.01 * 0.1)).flatten(1) / 0.01
            singular = torch.linalg.svdvals(step) / (0.2 * max(step.shape) ** 0.5)  # scaled as AdamW's steps
            assert singular.min() > 0.6 and singular.max() < 1.3  # five iterations are not exact
        else:
            torch.testing.assert_close(weight, by_adamw[name])


def test_muon_continues_after_an_interruption() -> None:
    def stepped(network: torch.nn.Module, optimiser: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            generator = torch.Generator().manual_seed(number)
            for weight in network.parameters():
                weight.grad = torch.randn(weight.shape, generator=generator)
            set_learning_rate(optimiser, 0.01 / (1 + number))
            optimiser.step()

    chosen = Optimiser("muon", lr=0.01, weight_decay=0.1)
    whole, part = WithHead(), WithHead()
    stepped(whole, chosen.of(whole), range(6))
    first = chosen.of(part)
    stepped(part, first, range(3))
    again = chosen.of(part)
    restore(again, first.state_dict())
    stepped(part, again, range(3, 6))
    for one, other in zip(whole.parameters(), part.parameters(), strict=True):
        assert torch.equal(one, other)
