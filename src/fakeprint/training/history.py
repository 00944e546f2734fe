"""The epochs that have ended, and what follows from them: the current phase, the epoch to keep, when training ends."""

import math
from collections.abc import Sequence
from typing import Any

from fakeprint.training.recipe import Phase

Row = dict[str, float]
COLUMNS = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr")


class History:
    """The epochs of a training so far.

    rows: one per epoch of all phases, with the `COLUMNS`: epoch (from 1), train_loss, train_accuracy, validation_loss,
    validation_accuracy, lr; without validation figures where an epoch was not validated. Training figures are means
    over the epoch's steps, with dropout and augmentation; train_loss is what training minimises, validation_loss plain
    cross-entropy. lr is that of the epoch's first step.
    number: of the current phase, from 0. earlier: epochs of the phases before it.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = phases
        self.rows: list[Row] = []
        self.number, self.earlier = 0, 0

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self.phases[self.number]

    @property
    def epochs(self) -> int:
        """Epochs of all phases, at most."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def done(self) -> int:
        """Epochs of the current phase that have ended."""
        return len(self.rows) - self.earlier

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracy of each epoch of the current phase, NaN of those that were not validated."""
        return self.figures("validation_accuracy")

    def figures(self, name: str) -> list[float]:
        """One column of the current phase's rows, NaN where a row does not have it."""
        return [row.get(name, math.nan) for row in self.rows[self.earlier :]]

    @property
    def validates_next(self) -> bool:
        """Whether the next epoch is validated: each `validate_every`-th of the phase, and its last."""
        epoch = self.done + 1
        return epoch % self.phase.validate_every == 0 or epoch == self.phase.epochs

    @property
    def kept_epoch(self) -> int:
        """The epoch, counted from 1 over all phases, whose weights are kept: of a mean, the last one in it."""
        if self.phase.averaging.swa and self.done == self.phase.epochs:
            return len(self.rows)
        return self.earlier + self.phase.selection.kept_epoch(self.accuracies)

    @property
    def phase_over(self) -> bool:
        """Whether the current phase has had all its epochs, or stops early."""
        return self.done >= self.phase.epochs or self.phase.selection.stops(self.accuracies)

    @property
    def over(self) -> bool:
        """Whether training has ended."""
        return self.phase_over and self.number == len(self.phases) - 1

    def next_phase(self) -> None:
        """Begin the next phase."""
        self.number, self.earlier = self.number + 1, len(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """The state, for `load_state_dict`."""
        return {"rows": self.rows, "number": self.number, "earlier": self.earlier}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.rows, self.number, self.earlier = state["rows"], state["number"], state["earlier"]
