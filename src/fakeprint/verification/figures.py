"""Figures by name, and whether a measured one is the recorded one to the digit that the card states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fakeprint.errors import InputError
from fakeprint.evaluation import metrics
from fakeprint.verification.card import DIGITS, Figure

PER_CLASS = ("recall", "precision")
SLACK = 0.02  # of a unit of the last digit: what float32 may differ by between processors, at a half


@dataclass(frozen=True)
class FigureCheck:
    """One figure: recorded with `digits` decimals, measured again; None where it cannot be."""

    name: str
    recorded: float
    digits: int
    measured: float | None

    @property
    def status(self) -> Literal["match", "differs"]:
        """Whether the measured figure is within half a unit of the last digit."""
        if self.measured is None:
            return "differs"
        return "match" if agrees(self.recorded, self.measured, self.digits) else "differs"

    @property
    def difference(self) -> float | None:
        """Measured minus recorded."""
        return None if self.measured is None else self.measured - self.recorded


def agrees(recorded: float, measured: float, digits: int) -> bool:
    """Whether `measured`, but for `SLACK`, rounds to `recorded` at this number of decimals."""
    return bool(abs(measured - recorded) <= (0.5 + SLACK) * 10.0**-digits)


def by_name(labels: np.ndarray, probabilities: np.ndarray, names: list[str], bins: int) -> dict[str, float]:
    """Accuracy, macro F1, log loss, calibration error, ROC-AUC; recall and precision of each class as `recall of NAME`.

    labels: int (N,), N ≥ 1. probabilities: float (N, C). names: of the C classes. bins: of the calibration error. What
    cannot be computed is left out.
    """
    found: dict[str, Any] = metrics.figures(labels, probabilities, names, bins)
    whole = {name: float(value) for name, value in found.items() if not isinstance(value, Mapping)}
    per_class = ((f"{key} of {name}", found[key][name]) for key in PER_CLASS for name in names)
    return whole | {name: float(value) for name, value in per_class if value is not None}


def rounded(figures: Mapping[str, float], digits: int = DIGITS) -> dict[str, Figure]:
    """The figures as a card has them."""
    return {name: Figure(value=round(value, digits), digits=digits) for name, value in figures.items()}


def compared(recorded: Mapping[str, Figure], measured: Mapping[str, float]) -> list[FigureCheck]:
    """Each recorded figure with the one measured again, in the card's order."""
    return [FigureCheck(name, figure.value, figure.digits, measured.get(name)) for name, figure in recorded.items()]


def answers_compared(
    picture: str, recorded: list[float] | None, measured: list[float], digits: int, names: list[str]
) -> list[FigureCheck]:
    """The probabilities of one picture, a check per class. Raises InputError if the card has not one per class."""
    if recorded is None or len(recorded) != len(names):
        raise InputError(f"card.json: sample.answers should have {len(names)} probabilities of {picture}")
    return [
        FigureCheck(f"{picture}, p({label})", old, digits, new)
        for label, old, new in zip(names, recorded, measured, strict=True)
    ]
