"""Learning-rate schedules, against sequences worked out by hand and PyTorch's own."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from fakeprint.training.schedules import Schedule


def rates(schedule: Schedule, steps_per_epoch: int = 1, watched: Sequence[float] = ()) -> list[float]:
    """The learning rate of each step, given what the plateau schedule watches."""
    return [
        schedule.rate(step, steps_per_epoch, watched[: step // steps_per_epoch])
        for step in range(schedule.epochs * steps_per_epoch)
    ]


def test_plateau_lowers_after_more_than_patience_epochs_without_a_better_one() -> None:
    schedule = Schedule("plateau", lr=0.8, epochs=8, patience=1, factor=0.5)
    # Best 0.5 in epoch 1. Epochs 2 and 3 are no better (equal is not better): halved after 3. 0.6 in 5 is better.
    # 6 and 7 are no better: halved after 7.
    accuracies = [0.5, 0.5, 0.4, 0.5, 0.6, 0.6, 0.1]
    expected = [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2]
    assert rates(schedule, watched=accuracies) == expected
    assert rates(replace(schedule, watch="loss"), watched=[1 - accuracy for accuracy in accuracies]) == expected
    assert rates(replace(schedule, min_lr=0.3), watched=accuracies) == [*expected[:-1], 0.3]


def test_plateau_is_pytorchs() -> None:
    schedule = Schedule("plateau", lr=0.8, epochs=40, patience=2, factor=0.7)
    accuracies = np.random.default_rng(0).integers(0, 12, 39) / 12
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.8)
    peer = lr_scheduler.ReduceLROnPlateau(optimiser, mode="max", factor=0.7, patience=2, threshold=0)
    expected = [0.8]
    for accuracy in accuracies:
        peer.step(accuracy)
        expected.append(optimiser.param_groups[0]["lr"])
    assert rates(schedule, watched=accuracies.tolist()) == expected
    assert len(set(expected)) > 5


def test_plateau_counts_from_the_end_of_the_warm_up() -> None:
    schedule = Schedule("plateau", lr=0.8, epochs=5, patience=0, factor=0.5, warmup=2.0)
    # Accuracies fall from the start; those of epochs 1 and 2, in the warm-up, do not count, and 3 has none to beat.
    assert rates(schedule, watched=[0.9, 0.8, 0.7, 0.6]) == [0.4, 0.8, 0.8, 0.8, 0.4]


def test_cosine_falls_in_each_step() -> None:
    # (1 + cos(0, 45, 90, 135 degrees)) / 2
    expected = [1.0, 0.853553, 0.5, 0.146447]
    for epochs, steps in ((4, 1), (2, 2), (1, 4)):
        assert rates(Schedule("cosine", lr=1.0, epochs=epochs), steps) == pytest.approx(expected, abs=1e-6)
    ends_above = Schedule("cosine", lr=1.0, epochs=4, min_lr=0.2)
    assert rates(ends_above) == pytest.approx([0.2 + 0.8 * rate for rate in expected], abs=1e-6)


def test_warm_up_rises_in_equal_steps_before_the_schedule_begins() -> None:
    schedule = Schedule("cosine", lr=1.0, epochs=3, warmup=1.0)
    assert rates(schedule, 4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(schedule, 4)[8] == pytest.approx(0.5)  # four of the eight steps that are left
    half = Schedule("none", lr=0.3, epochs=1, warmup=0.5)
    assert rates(half, 4) == pytest.approx([0.15, 0.3, 0.3, 0.3])


def test_step_lowers_every_so_many_epochs() -> None:
    schedule = Schedule("step", lr=0.8, epochs=5, factor=0.5, step_epochs=2)
    assert rates(schedule, 2) == [0.8] * 4 + [0.4] * 4 + [0.2] * 2


@pytest.mark.parametrize(("warmup", "share"), [(0.0, 0.3), (1.0, 0.2)])
def test_one_cycle_is_pytorchs(warmup: float, share: float) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.4)
    peer = lr_scheduler.OneCycleLR(optimiser, 0.4, total_steps=50, pct_start=share, cycle_momentum=False)
    expected = []
    for _ in range(50):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        peer.step()
    assert rates(Schedule("one_cycle", lr=0.4, epochs=5, warmup=warmup), 10) == pytest.approx(expected, rel=1e-9)


def test_no_schedule() -> None:
    assert rates(Schedule("none", lr=0.3, epochs=4), 2) == [0.3] * 8
