"""What a finished cell left: the contract between the runners, which make it, and the report, which reads it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from fakeprint.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Cell:
    """One arm with one seed (or one fold). Equal keys are the same computation, in whichever study.

    key: 16 hexadecimal digits, the digest of the effective parameters, the data and the code. replicate: the seed or
    the fold.
    """

    arm: str
    replicate: int
    key: str


@dataclass(frozen=True)
class CellResult:
    """The outcome of a cell, complete.

    figures: model → figure of metrics/MODEL/evaluate.json → value (for `models` of the study). on_test: the same where
    test is labelled, else empty. degraded: model → degradation → accuracy on validation. curves: network →
    metrics/NAME/history.csv, one row per epoch. seconds: wall time of all stages that ran for this cell, None where
    unknown (stages taken from a cache take none). predictions: reads the calibrated validation predictions of a model,
    those that figures describe; called as late as possible, since a study may hold many.
    """

    cell: Cell
    figures: dict[str, dict[str, float]]
    on_test: dict[str, dict[str, float]] = field(default_factory=dict)
    degraded: dict[str, dict[str, float]] = field(default_factory=dict)
    curves: dict[str, pd.DataFrame] = field(default_factory=dict)
    seconds: float | None = None
    predictions: Callable[[str], Predictions] | None = None
