"""One run of a search: its trials one after the other in this process, or in several processes of this machine."""

import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import joblib

from fakeprint import parallel, tracking
from fakeprint.errors import InputError
from fakeprint.search import trials
from fakeprint.search.space import Plan
from fakeprint.search.storage import VARIABLE, StoredSearch
from fakeprint.studies.runners.failures import failure_of
from fakeprint.studies.runners.processes import TiedProcess, environment

# What libraries read when they load: OpenMP (torch, faiss, scikit-learn), BLAS, OpenCV, joblib's processes.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "LOKY_MAX_CPU_COUNT",
)

Report = Callable[[str], None]


def run(plan: Plan, search: StoredSearch, wanted: int, jobs: int, report: Report) -> None:
    """Run trials until `wanted` of them have an outcome; `report` is called with a line after each.

    Args:
        plan: the search.
        search: the same, as it is stored.
        wanted: trials in total.
        jobs: processes that share the cores. With one, trials run in this process.
        report: called with lines for the user.

    Raises:
        InputError: no trial has a score, the arrays are not those of params.yaml, or all processes have ended early.
    """
    with trials.search_run(plan, search) as tracked:
        if jobs == 1:
            with parallel.backend(plan.settings({}).run):
                trials.run(plan, search, wanted, report, tracked)
        else:
            trials.fold_numbers(plan.settings({}))  # before any process starts
            _Workers(plan, search, wanted, jobs, report).run(tracked)
    possible = trials.total(plan, wanted)
    if possible < wanted:
        report(f"the grid has only {possible} trials")
    trials.require_score(plan, search.study)


class _Workers:
    """Processes that run trials, until all are done. When this process ends, however it ends, they do."""

    def __init__(self, plan: Plan, search: StoredSearch, wanted: int, jobs: int, report: Report) -> None:
        self._plan, self._search, self._wanted, self._report = plan, search, wanted, report
        self._seen = {trial.number for trial in trials.finished(search.study)}
        self._before, self._since = len(self._seen), time.perf_counter()
        # The URL is no argument, since `ps` shows these to everybody, and it may have a password in it
        variables = environment({**threads(jobs), VARIABLE: search.place.full})
        words = ["fakeprint.search.worker", str(plan.path), str(wanted)]
        self._running = {
            number: TiedProcess(words, Path.cwd(), self._log(number), variables) for number in range(1, jobs + 1)
        }

    def _log(self, number: int) -> Path:
        return self._search.folder / f"{self._search.process}-{number}.log"

    def run(self, tracked: tracking.TrackedSearch) -> None:
        """Report trials until every process has ended. Raises InputError where trials are left then."""
        reason = ""
        try:
            while self._running:
                time.sleep(trials.PAUSE)
                for number, process in list(self._running.items()):
                    if (status := process.poll()) is not None:
                        reason = self._ended(number, process, status) or reason
                self._report_new(tracked)
        finally:
            for process in self._running.values():  # interrupted
                process.end()
                process.log.unlink(missing_ok=True)
            with self._search.locked():
                self._search.release_dead()
        done = len(trials.finished(self._search.study))
        if done < trials.total(self._plan, self._wanted):
            raise InputError(f"{self._plan.path}: stopped after {done} of {self._wanted} trials: {reason}")

    def _ended(self, number: int, process: TiedProcess, status: int) -> str:
        """Collect a process that has ended; why, if it was before the end of the search."""
        process.end()  # what it has started may live
        del self._running[number]
        if status == 0:
            process.log.unlink(missing_ok=True)
            return ""
        line = failure_of(status, process.log).line
        if self._running:
            others = "the other one goes on" if len(self._running) == 1 else f"the other {len(self._running)} go on"
            print(f"warning: process {number} ended ({line}; {process.log}); {others}", file=sys.stderr)
        return f"{line} ({process.log})"

    def _report_new(self, tracked: tracking.TrackedSearch) -> None:
        study = self._search.study
        new = [trial for trial in trials.finished(study) if trial.number not in self._seen]
        for trial in sorted(new, key=lambda trial: trial.datetime_complete or datetime.max):
            self._seen.add(trial.number)
            count = len(self._seen)
            spent = time.perf_counter() - self._since
            left = spent / (count - self._before) * (trials.total(self._plan, self._wanted) - count)
            self._report(trials.line(self._plan, study, trial.number, count, self._wanted, left))
            trials.log_best(study, count, tracked)


def threads(jobs: int) -> dict[str, str]:
    """Variables by which each of `jobs` processes gets its share of the cores; what the user has set stays."""
    share = str(max(1, joblib.cpu_count() // jobs))
    return {name: os.environ.get(name, share) for name in THREADS}
