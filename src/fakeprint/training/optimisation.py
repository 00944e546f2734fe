"""Optimisers, learning-rate schedules and early stopping, as `train` in params.yaml names them."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from fakeprint.params import Train


def optimiser(train: Train, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam (weight decay as an L2 penalty), AdamW (decoupled) or SGD with Nesterov momentum (none at momentum 0)."""
    if train.optimiser == "adam":
        return torch.optim.Adam(parameters, train.lr, weight_decay=train.weight_decay)
    if train.optimiser == "adamw":
        return torch.optim.AdamW(parameters, train.lr, weight_decay=train.weight_decay)
    nesterov = train.momentum > 0
    return torch.optim.SGD(parameters, train.lr, train.momentum, weight_decay=train.weight_decay, nesterov=nesterov)


class Schedule:
    """The learning rate over the epochs; `step` once after each epoch.

    plateau: times `factor` after more than `patience` epochs in a row without a better validation accuracy.
    cosine: in epoch e of E, counted from 0, lr · (1 + cos(π e / E)) / 2. none: constant.
    """

    def __init__(self, train: Train, optimiser: torch.optim.Optimizer) -> None:
        self.optimiser = optimiser
        self.scheduler: lr_scheduler.LRScheduler | None = None
        if train.schedule == "plateau":
            self.scheduler = lr_scheduler.ReduceLROnPlateau(
                optimiser, mode="max", factor=train.factor, patience=train.patience, threshold=0
            )
        elif train.schedule == "cosine":
            self.scheduler = lr_scheduler.CosineAnnealingLR(optimiser, T_max=train.epochs)

    @property
    def lr(self) -> float:
        """The learning rate now."""
        return float(self.optimiser.param_groups[0]["lr"])

    def step(self, validation_accuracy: float) -> None:
        """An epoch has ended with this validation accuracy."""
        if isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(validation_accuracy)
        elif self.scheduler:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return dict(self.scheduler.state_dict()) if self.scheduler else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        if self.scheduler:
            self.scheduler.load_state_dict(state)


def best_epoch(accuracies: Sequence[float]) -> int:
    """The first epoch, counted from 1, of the highest validation accuracy."""
    return 1 + max(range(len(accuracies)), key=lambda epoch: accuracies[epoch])


def should_stop(accuracies: Sequence[float], patience: int) -> bool:
    """Whether `patience` epochs have passed since the best one; never for a patience of 0."""
    return bool(patience and accuracies) and len(accuracies) - best_epoch(accuracies) >= patience
