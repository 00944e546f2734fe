"""What a study has: its finished cells, wherever they were computed, and why others are missing."""

import math
from collections.abc import Collection
from pathlib import Path

from fakeprint.params import Params
from fakeprint.studies import experiments
from fakeprint.studies.arms import Arm, Mean
from fakeprint.studies.plan import Plan
from fakeprint.studies.results import Cell, CellResult, StudyResults
from fakeprint.studies.store import Store
from fakeprint.studies.taken import RESULTS, taken_result


class Finished:
    """The results of a study's cells, found by their keys: DVC experiments of any commit and study, and taken results.

    A result counts if its metrics are complete for the study's models. Each is read once.

    out: the folder of `--runner direct`, whose results count where it runs.
    """

    def __init__(self, plan: Plan, store: Store, out: Path | None = None) -> None:
        self.plan, self._store, self._out = plan, store, out
        self._results: dict[str, CellResult] = {}
        self._experiments: dict[str, list[experiments.Experiment]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look for experiments that are new."""
        if (self._store.root / ".git").exists():
            self._experiments = experiments.found(self._store.root)

    def of(self, cell: Cell) -> CellResult | None:
        """The result of a cell, None if it has none."""
        if cell.key not in self._results:
            found = self._read(cell)
            if found is None:
                return None
            self._results[cell.key] = found
        result = self._results[cell.key]
        return result if result.cell == cell else CellResult(**{**vars(result), "cell": cell})

    def _read(self, cell: Cell) -> CellResult | None:
        models, seconds = self.plan.study.models, self._store.seconds(cell.key)
        for experiment in self._experiments.get(cell.key, []):
            if result := experiments.result(self._store.root, experiment, cell, models, seconds):
                return result
        folders = [self._store.taken(cell.key)]
        if self._out is not None:
            folders.append(self._out / RESULTS / cell.key)
        return next(filter(None, (taken_result(folder, cell, models) for folder in folders)), None)

    def mean(self, failed: Collection[str] = ()) -> Mean:
        """An arm's mean of the first metric over seeds and models, as `Plan.arms` asks for it.

        failed: keys of cells that will have no result.
        """
        known: dict[str, float | None] = {}

        def of(arm: Arm) -> float | None:
            if known.get(arm.name) is None:
                known[arm.name] = self._mean(arm, failed)
            return known[arm.name]

        return of

    def _mean(self, arm: Arm, failed: Collection[str]) -> float | None:
        metric, values = self.plan.study.metrics[0], []
        for cell in self.plan.cells([arm]):
            result = self.of(cell)
            if result is None:
                return math.nan if cell.key in failed else None
            values += [figures[metric] for figures in result.figures.values() if metric in figures]
        return sum(values) / len(values) if values else math.nan


def results_of(plan: Plan, root: Path) -> StudyResults:
    """The study as far as it has run, for its report.

    Args:
        plan: the study.
        root: of the repository.
    """
    store = Store(root)
    finished = Finished(plan, store)
    own = failed_by_own_fault(plan, store)
    mean = finished.mean(own)
    arms = plan.arms(mean)
    cells = plan.cells(arms)
    found = [(cell, finished.of(cell)) for cell in cells]
    missing = {
        (cell.arm, cell.replicate): failure.line
        for cell, result in found
        if result is None and (failure := store.failure(cell.key))
    }
    settings = plan.baseline
    return StudyResults(
        name=plan.name,
        study=plan.study,
        arms={arm.name: arm.changes for arm in arms},
        replicates=plan.replicates,
        cells=[result for _, result in found if result is not None],
        missing=missing,
        path=plan.path_names(mean),
        preset=plan.preset.stem,
        overrides=plan.options.changes,
        title=settings.data.title,
        bins=settings.evaluate.calibration_bins,
        held_out=_held_out(settings) if plan.study.folds else 0.0,
    )


def _held_out(settings: Params) -> float:
    """Validation images per train image where each fold in turn is held out; a calibration fold is taken from train."""
    return 1 / (settings.prepare.folds - 1 - (settings.calibrate.on == "fold"))


def failed_by_own_fault(plan: Plan, store: Store) -> set[str]:
    """Keys of cells of the study that would fail again."""
    found = set()
    for key in store.cells(plan.name):
        failure = store.failure(key)
        if failure is not None and failure.own:
            found.add(key)
    return found
