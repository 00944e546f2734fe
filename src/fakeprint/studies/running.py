"""The loop that runs a study: what has no result is started, what has ended is looked at, until nothing is left.

It holds no state of its own: which cells are done is read from their results each time, so that it can be interrupted
or killed at any moment and the same command goes on.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from fakeprint.studies.experiments import experiment_name
from fakeprint.studies.outcome import Finished
from fakeprint.studies.plan import Plan
from fakeprint.studies.results import Cell
from fakeprint.studies.runners import Ended, Job, Runner
from fakeprint.studies.store import Failure, Store

ATTEMPTS = 3  # of a cell that fails for the machine's sake, in one run of the command
PAUSE = 0.2  # seconds between two looks at what runs
INCOMPLETE = Failure(own=False, line="ended well, but its metrics are not complete")


@dataclass(frozen=True)
class Standing:
    """Where a study stands. cells: known by now. done, running: how many of them. failed: reason → how many."""

    cells: int
    done: int
    running: int
    failed: dict[str, int]
    hours_left: float | None

    @property
    def waiting(self) -> int:
        """Cells that have not begun."""
        return self.cells - self.done - self.running - sum(self.failed.values())


class Run:
    """One run of a study.

    Args:
        plan: the study.
        store: of the repository.
        runner: runs the cells.
        finished: results by key.
        report: called with a line after each event.
        hours: no cell is started after so many; None = no limit.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        runner: Runner,
        finished: Finished,
        report: Callable[[str], None],
        hours: float | None = None,
    ) -> None:
        self.plan, self.store, self.runner, self.finished = plan, store, runner, finished
        self._report, self._hours = report, hours
        self._running: dict[str, Job] = {}
        self._attempts: Counter[str] = Counter()
        self._given_up: set[str] = set()
        self._took: list[float] = []
        self._since = time.monotonic()

    def go(self) -> Standing:
        """Run until every cell is done, has failed, or may not begin any more."""
        cells = self._cells()
        self.store.remember(self.plan, cells, self.runner.jobs)
        standing = self._standing(cells)
        self._report(f"{self.plan.name}: {standing.cells} cells, {standing.done} done{_failed(standing)}")
        ended: list[Ended] = []
        waiting = [cell for cell in cells if self._may_begin(cell)]
        try:
            while True:
                if ended:
                    cells = self._cells()
                    waiting = [cell for cell in cells if self._may_begin(cell)]
                while waiting and len(self._running) < self.runner.jobs and not self._late:
                    self._start(waiting.pop(0))
                    self.store.remember(self.plan, cells, self.runner.jobs, list(self._running))
                if not self._running:
                    break
                ended = self.runner.poll()
                for each in ended:
                    self._end(each)
                if not ended:
                    time.sleep(PAUSE)
        finally:
            self.runner.stop()
            self.store.remember(self.plan, cells, self.runner.jobs)
        return self._standing(cells)

    @property
    def _late(self) -> bool:
        return self._hours is not None and time.monotonic() - self._since >= self._hours * 3600

    def _cells(self) -> list[Cell]:
        """Every cell that is known by now, each key once."""
        cells = self.plan.cells(self.plan.arms(self.finished.mean(self._lost())))
        return list({cell.key: cell for cell in reversed(cells)}.values())[::-1]

    def _lost(self) -> set[str]:
        """Keys of cells that will have no result."""
        requested = [key for key in self.store.cells(self.plan.name) if key not in self._given_up]
        return self._given_up | {key for key in requested if (failure := self.store.failure(key)) and failure.own}

    def _may_begin(self, cell: Cell) -> bool:
        if cell.key in self._running or cell.key in self._given_up or self.finished.of(cell):
            return False
        failure = self.store.failure(cell.key)
        return failure is None or not failure.own

    def _start(self, cell: Cell) -> None:
        arm = next(arm for arm in self.plan.arms(self.finished.mean(self._lost())) if arm.name == cell.arm)
        path = self.plan.base["data"]["path"]
        place = {"data": {"path": self.plan.sources.placed(path)}}
        text = self.plan.text(arm, cell.replicate, last=[place])
        job = Job(cell, experiment_name(self.plan.name, cell), text)
        self._attempts[cell.key] += 1
        self.runner.start(job)
        self._running[cell.key] = job

    def _end(self, ended: Ended) -> None:
        cell = ended.job.cell
        del self._running[cell.key]
        self.finished.refresh()
        result = self.finished.of(cell)
        failure = None if result is not None else ended.failure or INCOMPLETE
        self.store.ended(cell.key, ended.seconds, failure)
        again = ""
        if failure is None:
            self._took.append(ended.seconds)
        elif not failure.own and self._attempts[cell.key] < ATTEMPTS:
            again = f"; attempt {self._attempts[cell.key] + 1} of {ATTEMPTS} follows"
        else:
            self._given_up.add(cell.key)
        cells = self._cells()
        standing = self._standing(cells)
        outcome = f"failed: {failure.line}{again}" if failure else self._outcome(cell, ended.seconds)
        left = f", about {hours_shown(standing.hours_left)} left" if standing.hours_left else ""
        seed = "fold" if self.plan.study.folds else "seed"
        self._report(f"[{standing.done}/{standing.cells}] {cell.arm}, {seed} {cell.replicate}: {outcome}{left}")

    def _outcome(self, cell: Cell, seconds: float) -> str:
        result, metric = self.finished.of(cell), self.plan.study.metrics[0]
        figures = result.figures if result else {}
        shown = [f"{model} {of[metric]:.4f}" for model, of in figures.items() if metric in of]
        return f"{metric} {', '.join(shown)} in {seconds:.0f} s"

    def _standing(self, cells: list[Cell]) -> Standing:
        return standing_of(self.finished, self.store, cells, set(self._running), self.runner.jobs, self._took)


def standing_of(
    finished: Finished, store: Store, cells: list[Cell], running: set[str], jobs: int, took: list[float] | None = None
) -> Standing:
    """Where these cells stand. took: seconds of the cells that this run has computed, which the estimate goes by."""
    done = [cell for cell in cells if finished.of(cell)]
    keys = {cell.key for cell in done}
    failed = Counter(
        failure.line
        for cell in cells
        if cell.key not in keys | running and (failure := store.failure(cell.key)) is not None
    )
    known = took or [seconds for cell in done if (seconds := store.seconds(cell.key))]
    left = len(cells) - len(done) - sum(failed.values())
    hours = sum(known) / len(known) * left / jobs / 3600 if known and left else None
    return Standing(len(cells), len(done), len(running - keys), dict(failed), hours)


def _failed(standing: Standing) -> str:
    failed = sum(standing.failed.values())
    return f", {failed} failed before (--again tries them again)" if failed else ""


def hours_shown(hours: float) -> str:
    """A duration as a person says it."""
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
