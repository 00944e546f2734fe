"""Learning-rate schedules."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# PyTorch's OneCycleLR: the share of the steps in which it rises, and what lr is divided by at the start and the end.
RISE, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 1e4


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every step of a phase.

    kind: "cosine", "step", "plateau", "one_cycle" or "none". lr: the highest rate. epochs: of the phase, at most.
    warmup: in epochs. watch: what "plateau" watches, "accuracy" or "loss" of the validation images.

    During the warm-up the rate rises by the same amount each step and reaches lr at its last. Then, in step t of the T
    that are left:
    cosine: min_lr + (lr − min_lr)(1 + cos(π t / T)) / 2 (Loshchilov and Hutter 2017, without restarts);
    step: lr · factor for each `step_epochs` epochs that have ended;
    plateau: lr · factor each time that more than `patience` epochs in a row were no better, never below min_lr;
    none: lr;
    one_cycle: lr / 25 → lr → lr / 250,000 along half cosines, as PyTorch's OneCycleLR with constant momentum (Smith and
    Topin 2019); it rises during the warm-up, or in 30 % of the steps if there is none.
    """

    kind: str
    lr: float
    epochs: int
    warmup: float = 0.0
    min_lr: float = 0.0
    factor: float = 0.5
    step_epochs: int = 10
    patience: int = 0
    watch: str = "accuracy"

    def rate(self, step: int, steps_per_epoch: int, watched: Sequence[float]) -> float:
        """The learning rate of an optimiser step; it depends only on the arguments, so that a schedule has no state.

        step: counted from 0 over the epochs of the phase. watched: the `watch` of each epoch that has ended.
        """
        total, warm = self.epochs * steps_per_epoch, round(self.warmup * steps_per_epoch)
        if self.kind == "one_cycle":
            return self._one_cycle(step, total, warm or RISE * total)
        if step < warm:
            return self.lr * (step + 1) / warm
        if self.kind == "cosine":
            falling = (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
            return self.min_lr + (self.lr - self.min_lr) * falling
        if self.kind == "step":
            return self.lr * self.factor ** (step // steps_per_epoch // self.step_epochs)
        if self.kind == "plateau":
            return self._plateau(watched[math.ceil(self.warmup) :])
        return self.lr

    def _one_cycle(self, step: int, total: int, rise: float) -> float:
        lowest, top, last = self.lr / START_DIVISOR, rise - 1, total - 1
        if step <= top:
            return _half_cosine(lowest, self.lr, step / top) if top > 0 else self.lr
        return _half_cosine(self.lr, lowest / END_DIVISOR, (step - top) / (last - top))

    def _plateau(self, watched: Sequence[float]) -> float:
        lr, best, waited = self.lr, -math.inf, 0
        for figure in watched if self.watch == "accuracy" else [-loss for loss in watched]:
            best, waited = (figure, 0) if figure > best else (best, waited + 1)
            if waited > self.patience:
                lr, waited = max(lr * self.factor, self.min_lr), 0
        return lr


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * progress))
