"""Cells as `dvc exp run --temp`, each in a clone of its own while it runs."""

from dataclasses import dataclass

from fakeprint.studies.runners import Ended, Job, clones
from fakeprint.studies.runners.failures import failure_of
from fakeprint.studies.runners.processes import TiedProcess
from fakeprint.studies.store import Store


@dataclass(frozen=True)
class _Running:
    job: Job
    process: TiedProcess


class TempRunner:
    """Runs cells side by side, as many as there are clones. Raises InputError where code is not committed."""

    def __init__(self, store: Store, jobs: int) -> None:
        clones.require_committed(store.root)
        self.jobs, self._store = jobs, store
        self._variables = clones.variables(store.root)
        self._running: dict[int, _Running] = {}  # by the number of the clone
        self._ready: set[int] = set()
        for folder in store.clones():  # what a killed run had finished
            clones.take_experiments(store.root, folder)

    def start(self, job: Job) -> None:
        """Begin a cell in a clone that is free."""
        number = next(number for number in range(1, self.jobs + 1) if number not in self._running)
        folder = self._store.clone(number)
        if number not in self._ready:
            clones.prepared(self._store, number)
            self._ready.add(number)
        clones.remove_leftovers(folder)
        given = clones.copy_given(self._store.root, folder)
        clones.write_cell(folder, job)
        copied = [word for name in given for word in ("--copy-paths", name)]
        words = ["dvc", "exp", "run", "--temp", "--name", job.name, *copied]
        process = TiedProcess(words, folder, self._store.log(job.cell.key), self._variables)
        self._running[number] = _Running(job, process)

    def poll(self) -> list[Ended]:
        """The cells that have ended; their experiments are in the main repository then."""
        ended = []
        for number, running in list(self._running.items()):
            status = running.process.poll()
            if status is None:
                continue
            seconds = running.process.seconds
            running.process.end()
            del self._running[number]
            clones.take_experiments(self._store.root, self._store.clone(number))
            failure = None if status == 0 else failure_of(status, running.process.log, running.process.begin)
            ended.append(Ended(running.job, seconds, failure))
        return ended

    def stop(self) -> None:
        """Kill what runs."""
        for number, running in list(self._running.items()):
            running.process.end()
            clones.remove_leftovers(self._store.clone(number))
        self._running.clear()
