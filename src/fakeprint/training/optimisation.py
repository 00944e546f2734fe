"""Optimisers, learning-rate schedules and early stopping, as `train` in params.yaml names them."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from fakeprint.params import Train

# PyTorch's OneCycleLR: the share of the steps in which it rises, and what lr is divided by at the start and the end.
RISE, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 1e4


def optimiser(train: Train, network: nn.Module) -> torch.optim.Optimizer:
    """Adam (weight decay as an L2 penalty), AdamW (decoupled) or SGD with momentum, Nesterov's where asked."""
    groups = _groups(train, network)
    if train.optimiser == "adam":
        return torch.optim.Adam(groups, train.lr, eps=train.eps, weight_decay=train.weight_decay)
    if train.optimiser == "adamw":
        return torch.optim.AdamW(groups, train.lr, eps=train.eps, weight_decay=train.weight_decay)
    nesterov = train.nesterov and train.momentum > 0
    return torch.optim.SGD(groups, train.lr, train.momentum, weight_decay=train.weight_decay, nesterov=nesterov)


def _groups(train: Train, network: nn.Module) -> list[dict[str, object]]:
    """Two groups: what is decayed, and what is not.

    Not decayed are the embeddings of positions and tokens that a network of timm names itself and, without
    `decay_norms`, biases and the scales of norms: what has one dimension.
    """
    spared = _spared(network)
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        kept = name not in spared and (train.decay_norms or parameter.ndim > 1)
        (decayed if kept else others).append(parameter)
    groups: list[dict[str, object]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _spared(network: nn.Module) -> set[str]:
    """The parameters that the network, or a part of it, names in `no_weight_decay` (timm's convention)."""
    named = [(path, getattr(module, "no_weight_decay", None)) for path, module in network.named_modules()]
    return {f"{path}.{name}".removeprefix(".") for path, names in named if callable(names) for name in names()}


def learning_rate(train: Train, step: int, steps_an_epoch: int, watched: Sequence[float]) -> float:
    """The learning rate of an optimiser step, a function of nothing but what is given, so that it needs no state.

    step: counted from 0 over all epochs. watched: what the plateau schedule watches (see `plateau_on`), one figure an
    epoch that has ended.

    Warm-up rises by the same amount each step and reaches lr at its last. Then, in step t of the T that are left:
    cosine: min_lr + (lr − min_lr)(1 + cos(π t / T)) / 2 (Loshchilov and Hutter 2017, without restarts);
    step: lr · factor for each `step_epochs` epochs that have ended; plateau: lr · factor for each time that more than
    `patience` epochs in a row were no better, never below min_lr; none: lr.
    one_cycle: lr / 25 → lr → lr / 250,000 along half cosines, as PyTorch's OneCycleLR with constant momentum (Smith and
    Topin 2019); it rises during the warm-up, or in 30 % of the steps where none is given.
    """
    total, warm = train.epochs * steps_an_epoch, round(train.warmup * steps_an_epoch)
    if train.schedule == "one_cycle":
        return _one_cycle(train.lr, step, total, warm or RISE * total)
    if step < warm:
        return train.lr * (step + 1) / warm
    if train.schedule == "cosine":
        falling = (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
        return train.min_lr + (train.lr - train.min_lr) * falling
    if train.schedule == "step":
        return train.lr * train.factor ** (step // steps_an_epoch // train.step_epochs)
    if train.schedule == "plateau":
        return _plateau(train, watched[math.ceil(train.warmup) :])
    return train.lr


def _one_cycle(lr: float, step: int, total: int, rise: float) -> float:
    lowest, top, last = lr / START_DIVISOR, rise - 1, total - 1
    if step <= top:
        return _half_cosine(lowest, lr, step / top) if top > 0 else lr
    return _half_cosine(lr, lowest / END_DIVISOR, (step - top) / (last - top))


def _half_cosine(start: float, end: float, way: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * way))


def _plateau(train: Train, watched: Sequence[float]) -> float:
    lr, best, waited = train.lr, -math.inf, 0
    for figure in watched if train.plateau_on == "accuracy" else [-loss for loss in watched]:
        best, waited = (figure, 0) if figure > best else (best, waited + 1)
        if waited > train.patience:
            lr, waited = max(lr * train.factor, train.min_lr), 0
    return lr


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """The rate of the optimiser's next step."""
    for group in optimiser.param_groups:
        group["lr"] = lr


def best_epoch(accuracies: Sequence[float]) -> int:
    """The first epoch, counted from 1, of the highest validation accuracy."""
    return 1 + max(range(len(accuracies)), key=lambda epoch: accuracies[epoch])


def should_stop(accuracies: Sequence[float], patience: int) -> bool:
    """Whether `patience` epochs have passed since the best one; never for a patience of 0."""
    return bool(patience and accuracies) and len(accuracies) - best_epoch(accuracies) >= patience
