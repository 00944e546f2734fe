"""What a finished cell left: the contract between the runners, which make it, and the report, which reads it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from fakeprint.evaluation.predictions import Predictions
from fakeprint.studies.arms import all_configurations
from fakeprint.studies.study import BASELINE, Changes, Study


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


@dataclass(frozen=True)
class StudyResults:
    """A study as far as it has run: all that the report is made from.

    name: of the study's file. arms: arm → what it changes in the baseline, in the order of the report; the baseline is
    among them where it runs. replicates: the planned seeds or folds. cells: the complete ones, in any order. missing:
    (arm, replicate) → why there is no result, where more is known than that it has not run. path: for an ablation path,
    the names of its configurations from first to last. preset: that ran. overrides: what `-S` changed in every arm.
    title: of the data. bins: of the calibration error (evaluate.calibration_bins). held_out: validation images per
    image of train, where folds are held out in turn, so that the train splits overlap (1 / (folds − 1), or with a
    calibration fold 1 / (folds − 2)); else 0.
    """

    name: str
    study: Study
    arms: dict[str, Changes]
    replicates: list[int]
    cells: list[CellResult]
    missing: dict[tuple[str, int], str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    preset: str = ""
    overrides: tuple[str, ...] = ()
    title: str = ""
    bins: int = 15
    held_out: float = 0.0

    @property
    def compare_to(self) -> str:
        """The arm that the others are compared to."""
        return self.study.compare_to or BASELINE

    @property
    def to_come(self) -> int:
        """How many configurations of a greedy path are not known yet."""
        return max(0, all_configurations(self.study) - len({BASELINE, *self.arms}))

    def of_arm(self, arm: str) -> dict[int, CellResult]:
        """The results of one arm by seed or fold, in the planned order."""
        found = {result.cell.replicate: result for result in self.cells if result.cell.arm == arm}
        return {replicate: found[replicate] for replicate in self.replicates if replicate in found}
