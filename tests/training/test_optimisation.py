"""Optimisers, schedules and early stopping, against sequences worked out by hand."""

from typing import Any

import pytest
import torch

from fakeprint import params
from fakeprint.params import Train
from fakeprint.training.optimisation import Schedule, best_epoch, optimiser, should_stop


def settings(**changes: Any) -> Train:
    return params.load().train.model_copy(update=changes)


def rates(train: Train, accuracies: list[float]) -> list[float]:
    """The learning rate of each epoch, given the validation accuracy that it ended with."""
    weight = torch.nn.Parameter(torch.zeros(1))
    chosen = optimiser(train, [weight])
    schedule = Schedule(train, chosen)
    seen = []
    for accuracy in accuracies:
        seen.append(schedule.lr)
        chosen.step()
        schedule.step(accuracy)
    return seen


def test_plateau_lowers_after_more_than_patience_epochs_without_a_better_one() -> None:
    train = settings(schedule="plateau", patience=1, factor=0.5, lr=0.8, epochs=8)
    # Best 0.5 in epoch 1. Epochs 2 and 3 are no better (equal is not better): halved after 3. 0.6 in 5 is better.
    # 6 and 7 are no better: halved after 7.
    accuracies = [0.5, 0.5, 0.4, 0.5, 0.6, 0.6, 0.1, 0.0]
    assert rates(train, accuracies) == pytest.approx([0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2])


def test_cosine_goes_to_zero_over_the_epochs() -> None:
    # (1 + cos(0, 45, 90, 135 degrees)) / 2
    expected = [1.0, 0.853553, 0.5, 0.146447]
    assert rates(settings(schedule="cosine", lr=1.0, epochs=4), [0.1] * 4) == pytest.approx(expected, abs=1e-6)


def test_no_schedule() -> None:
    assert rates(settings(schedule="none", lr=0.3), [0.1] * 4) == [0.3] * 4


def test_a_schedule_goes_on_from_its_state() -> None:
    train = settings(schedule="plateau", patience=1, factor=0.5, lr=0.8)
    first = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.8)
    before = Schedule(train, first)
    before.step(0.5)
    before.step(0.5)
    second = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.8)
    after = Schedule(train, second)
    after.load_state_dict(before.state_dict())
    after.step(0.4)  # the second epoch in a row that is no better
    assert after.lr == pytest.approx(0.4)


def test_early_stopping() -> None:
    accuracies = [0.3, 0.5, 0.5, 0.4, 0.2]
    stops = [should_stop(accuracies[:epoch], 3) for epoch in range(6)]
    assert best_epoch(accuracies) == 2
    assert stops == [False, False, False, False, False, True]  # three epochs after the second
    assert not any(should_stop([0.9] + [0.1] * epochs, 0) for epochs in range(50))


def test_one_step_of_each_optimiser() -> None:
    # Weight 1, gradient 2, lr 0.1, decay 0.5. Adam's first step is lr against the sign of the gradient.
    def stepped(**changes: Any) -> float:
        weight = torch.nn.Parameter(torch.ones(1))
        chosen = optimiser(settings(lr=0.1, weight_decay=0.5, **changes), [weight])
        weight.grad = torch.full((1,), 2.0)
        chosen.step()
        return weight.item()

    assert stepped(optimiser="adam") == pytest.approx(1 - 0.1)
    assert stepped(optimiser="adamw") == pytest.approx(1 * (1 - 0.1 * 0.5) - 0.1)
    # SGD: gradient with decay 2.5; Nesterov: 2.5 + 0.9 · 2.5.
    assert stepped(optimiser="sgd", momentum=0.9) == pytest.approx(1 - 0.1 * (2.5 + 0.9 * 2.5))
    assert stepped(optimiser="sgd", momentum=0.0) == pytest.approx(1 - 0.1 * 2.5)
