"""Which epoch's weights are kept, and when training stops early."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """The choice among the epochs of a phase, by validation accuracy.

    keep: "best" keeps the weights of the best epoch so far, "last" those of the last. patience: epochs without a better
    one after which the phase ends; 0 = never.
    """

    keep: str = "best"
    patience: int = 0

    def kept_epoch(self, accuracies: Sequence[float]) -> int:
        """The epoch, counted from 1, whose weights are kept. accuracies: of each epoch so far, at least one."""
        return len(accuracies) if self.keep == "last" else best_epoch(accuracies)

    def stops(self, accuracies: Sequence[float]) -> bool:
        """Whether `patience` epochs have passed since the best one."""
        return bool(self.patience and accuracies) and len(accuracies) - best_epoch(accuracies) >= self.patience


def best_epoch(accuracies: Sequence[float]) -> int:
    """The first epoch, counted from 1, of the highest validation accuracy. accuracies: NaN where it is not known."""
    known = [-math.inf if math.isnan(accuracy) else accuracy for accuracy in accuracies]
    return 1 + max(range(len(known)), key=lambda epoch: known[epoch])
