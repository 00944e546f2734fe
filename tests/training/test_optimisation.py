"""Optimisers, schedules and early stopping, against sequences worked out by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from fakeprint import params
from fakeprint.params import Train
from fakeprint.training.optimisation import best_epoch, learning_rate, optimiser, set_learning_rate, should_stop


def settings(**changes: Any) -> Train:
    return params.load().train.model_copy(update=changes)


def rates(train: Train, steps_an_epoch: int = 1, watched: Sequence[float] = ()) -> list[float]:
    """The learning rate of each step, given what the plateau schedule watches."""
    return [
        learning_rate(train, step, steps_an_epoch, watched[: step // steps_an_epoch])
        for step in range(train.epochs * steps_an_epoch)
    ]


def test_plateau_lowers_after_more_than_patience_epochs_without_a_better_one() -> None:
    train = settings(schedule="plateau", patience=1, factor=0.5, lr=0.8, epochs=8)
    # Best 0.5 in epoch 1. Epochs 2 and 3 are no better (equal is not better): halved after 3. 0.6 in 5 is better.
    # 6 and 7 are no better: halved after 7.
    accuracies = [0.5, 0.5, 0.4, 0.5, 0.6, 0.6, 0.1]
    expected = [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2]
    assert rates(train, watched=accuracies) == expected
    by_loss = train.model_copy(update={"plateau_on": "loss"})
    assert rates(by_loss, watched=[1 - accuracy for accuracy in accuracies]) == expected
    bounded = train.model_copy(update={"min_lr": 0.3})
    assert rates(bounded, watched=accuracies) == [*expected[:-1], 0.3]


def test_plateau_is_pytorchs() -> None:
    train = settings(schedule="plateau", patience=2, factor=0.7, lr=0.8, epochs=40)
    accuracies = np.random.default_rng(0).integers(0, 12, 39) / 12
    chosen = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.8)
    peer = lr_scheduler.ReduceLROnPlateau(chosen, mode="max", factor=0.7, patience=2, threshold=0)
    expected = [0.8]
    for accuracy in accuracies:
        peer.step(accuracy)
        expected.append(chosen.param_groups[0]["lr"])
    assert rates(train, watched=accuracies.tolist()) == expected
    assert len(set(expected)) > 5


def test_plateau_counts_from_the_end_of_the_warm_up() -> None:
    train = settings(schedule="plateau", patience=0, factor=0.5, lr=0.8, epochs=5, warmup=2.0)
    # Accuracies fall from the start; those of epochs 1 and 2, in the warm-up, do not count, and 3 has none to beat.
    assert rates(train, watched=[0.9, 0.8, 0.7, 0.6]) == [0.4, 0.8, 0.8, 0.8, 0.4]


def test_cosine_falls_in_each_step() -> None:
    # (1 + cos(0, 45, 90, 135 degrees)) / 2
    expected = [1.0, 0.853553, 0.5, 0.146447]
    for epochs, steps in ((4, 1), (2, 2), (1, 4)):
        train = settings(schedule="cosine", lr=1.0, epochs=epochs)
        assert rates(train, steps) == pytest.approx(expected, abs=1e-6)
    ends_above = settings(schedule="cosine", lr=1.0, epochs=4, min_lr=0.2)
    assert rates(ends_above) == pytest.approx([0.2 + 0.8 * rate for rate in expected], abs=1e-6)


def test_warm_up_rises_in_equal_steps_before_the_schedule_begins() -> None:
    train = settings(schedule="cosine", lr=1.0, epochs=3, warmup=1.0)
    assert rates(train, 4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(train, 4)[8] == pytest.approx(0.5)  # four of the eight steps that are left
    half = settings(schedule="none", lr=0.3, epochs=1, warmup=0.5)
    assert rates(half, 4) == pytest.approx([0.15, 0.3, 0.3, 0.3])


def test_step_lowers_every_so_many_epochs() -> None:
    train = settings(schedule="step", lr=0.8, factor=0.5, step_epochs=2, epochs=5)
    assert rates(train, 2) == [0.8] * 4 + [0.4] * 4 + [0.2] * 2


@pytest.mark.parametrize(("warmup", "share"), [(0.0, 0.3), (1.0, 0.2)])
def test_one_cycle_is_pytorchs(warmup: float, share: float) -> None:
    train = settings(schedule="one_cycle", lr=0.4, epochs=5, warmup=warmup)
    chosen = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.4)
    peer = lr_scheduler.OneCycleLR(chosen, 0.4, total_steps=50, pct_start=share, cycle_momentum=False)
    expected = []
    for _ in range(50):
        expected.append(chosen.param_groups[0]["lr"])
        chosen.step()
        peer.step()
    assert rates(train, 10) == pytest.approx(expected, rel=1e-9)


def test_no_schedule() -> None:
    assert rates(settings(schedule="none", lr=0.3, epochs=4), 2) == [0.3] * 8


def test_a_rate_reaches_every_group() -> None:
    train = settings(decay_norms=False, weight_decay=0.5)
    chosen = optimiser(train, torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)))
    set_learning_rate(chosen, 0.125)
    assert [group["lr"] for group in chosen.param_groups] == [0.125, 0.125]


def test_weight_decay_spares_norms_and_biases() -> None:
    # SGD without momentum, gradients 0: a decayed weight of 1 becomes 1 − 0.1 · 0.5.
    for decay_norms, vectors in ((True, 0.95), (False, 1.0)):
        network = torch.nn.Linear(1, 1)
        matrix, vector = network.weight, network.bias
        torch.nn.init.ones_(matrix), torch.nn.init.ones_(vector)
        train = settings(optimiser="sgd", momentum=0.0, lr=0.1, weight_decay=0.5, decay_norms=decay_norms)
        chosen = optimiser(train, network)
        matrix.grad, vector.grad = torch.zeros(1, 1), torch.zeros(1)
        chosen.step()
        assert (matrix.item(), vector.item()) == pytest.approx((0.95, vectors))


@pytest.mark.parametrize("decay_norms", [True, False])
def test_embeddings_of_a_vision_transformer_are_not_decayed(decay_norms: bool) -> None:
    from fakeprint.models import networks

    with torch.device("meta"):
        network = networks.build("vit", networks.Design(5, 32), {"dim": 24, "depth": 1})
    train = settings(optimiser="adamw", weight_decay=0.5, decay_norms=decay_norms)
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = optimiser(train, network).param_groups
    spared = {names[each] for group in groups if group["weight_decay"] == 0 for each in group["params"]}
    assert {"body.pos_embed", "body.cls_token"} <= spared
    assert ("body.norm.weight" in spared) != decay_norms and "body.patch_embed.proj.weight" not in spared
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_early_stopping() -> None:
    accuracies = [0.3, 0.5, 0.5, 0.4, 0.2]
    stops = [should_stop(accuracies[:epoch], 3) for epoch in range(6)]
    assert best_epoch(accuracies) == 2
    assert stops == [False, False, False, False, False, True]  # three epochs after the second
    assert not any(should_stop([0.9] + [0.1] * epochs, 0) for epochs in range(50))


def test_one_step_of_each_optimiser() -> None:
    # Weight 1, gradient 2, lr 0.1, decay 0.5. Adam's first step is lr against the sign of the gradient.
    def stepped(**changes: Any) -> float:
        network = torch.nn.ParameterList([torch.ones(1)])
        weight = network[0]
        chosen = optimiser(settings(lr=0.1, weight_decay=0.5, **changes), network)
        weight.grad = torch.full((1,), 2.0)
        chosen.step()
        return weight.item()

    assert stepped(optimiser="adam") == pytest.approx(1 - 0.1)
    assert stepped(optimiser="adamw") == pytest.approx(1 * (1 - 0.1 * 0.5) - 0.1)
    # SGD: gradient with decay 2.5; Nesterov: 2.5 + 0.9 · 2.5.
    assert stepped(optimiser="sgd", momentum=0.9) == pytest.approx(1 - 0.1 * (2.5 + 0.9 * 2.5))
    # Without it, as in Keras and torch by themselves, the first step is plain.
    assert stepped(optimiser="sgd", momentum=0.9, nesterov=False) == pytest.approx(1 - 0.1 * 2.5)
    # A large ε damps Adam's step: gradient with decay 2.5, 2.5 / (2.5 + 1).
    assert stepped(optimiser="adam", eps=1.0) == pytest.approx(1 - 0.1 * 2.5 / 3.5)
    assert stepped(optimiser="sgd", momentum=0.0) == pytest.approx(1 - 0.1 * 2.5)
