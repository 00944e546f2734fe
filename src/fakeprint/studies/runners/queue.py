"""Cells through DVC's queue, in one clone, with workers that are looked after.

Workers of DVC 3.67 exit when the queue is empty, and may crash; the task of a crashed one stays "Running" for ever.
Workers survive when `fakeprint study run` is killed: the same command takes over what they have finished or still run.
"""

import contextlib
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from fakeprint.errors import InputError
from fakeprint.files import remove
from fakeprint.studies.experiments import git
from fakeprint.studies.runners import Ended, Job, clones
from fakeprint.studies.runners.failures import failure_of
from fakeprint.studies.runners.processes import PYTHON
from fakeprint.studies.store import Failure, Store

KILLS = 10  # at most: a killed process takes a moment to be gone
EVERY = 5.0  # seconds between two looks at the queue: each starts DVC
TRIES = 3  # of `dvc queue status`, which may fail while a worker writes what it reads
TASK = re.compile(r"^(?P<id>[0-9a-f]{7})\s+(?P<name>\S+)\s.*\s(?P<state>Queued|Running|Failed|Success|Canceled)\s*$")
WORKERS = re.compile(r"^Worker status: (?P<active>\d+) active, (?P<idle>\d+) idle", re.MULTILINE)
OVER = ("Failed", "Success", "Canceled")


@dataclass
class _Task:
    job: Job
    since: float = field(default_factory=time.monotonic)


class QueueRunner:
    """Keeps up to `jobs` cells in DVC's queue and as many workers. Raises InputError where code is not committed."""

    def __init__(self, store: Store, jobs: int) -> None:
        clones.require_committed(store.root)
        self.jobs, self._store = jobs, store
        self._variables = clones.variables(store.root)
        self._folder = clones.prepared(store, 1)
        self._tasks: dict[str, _Task] = {}  # by the experiment's name
        self._left: dict[str, str] | None = None  # states of what a killed run had queued, by name
        self._looked = 0.0

    def start(self, job: Job) -> None:
        """Queue a cell, or take over the one of this name that a killed run had queued."""
        if self._left is None:
            self._left, _ = self._status()
        state = self._left.pop(job.name, None)
        if state not in ("Queued", "Running"):
            if state is not None:
                self._dvc("queue", "remove", job.name)
            given = clones.copy_given(self._store.root, self._folder)
            clones.write_cell(self._folder, job)
            copied = [word for name in given for word in ("--copy-paths", name)]
            self._dvc("exp", "run", "--queue", "--name", job.name, *copied)
        self._tasks[job.name] = _Task(job)

    def poll(self) -> list[Ended]:
        """The cells that have ended, and those whose worker has died; workers that are missing are started."""
        if not self._tasks or time.monotonic() - self._looked < EVERY:
            return []
        states, workers = self._status()
        if not workers:  # once more: a worker may have ended its task and left between the two answers
            states, workers = self._status()
        ended = []
        for name, task in list(self._tasks.items()):
            state = states.get(name)
            if state == "Running" and not workers:
                _remove_running(self._folder, self._variables, name)
                ended.append(self._ended(name, task, Failure(own=False, line="its worker died")))
            elif state is None or state in OVER:
                ended.append(self._ended(name, task, self._outcome(name, task, state)))
        if workers < min(self.jobs, len(self._tasks)):
            self._dvc("queue", "start", "--jobs", str(self.jobs))
        self._looked = time.monotonic()
        return ended

    def _ended(self, name: str, task: _Task, failure: Failure | None) -> Ended:
        del self._tasks[name]
        clones.take_experiments(self._store.root, self._folder)
        return Ended(task.job, time.monotonic() - task.since, failure)

    def _outcome(self, name: str, task: _Task, state: str | None) -> Failure | None:
        """Why a task failed, by its log; a failed set-up leaves none but the workers' output."""
        if state in (None, "Success"):
            return None
        log = self._store.log(task.job.cell.key)
        printed = self._dvc("queue", "logs", name, check=False)
        if not printed.strip() or "No output logs" in printed:
            outputs = sorted(
                (self._folder / ".dvc/tmp/exps/celery").glob("*.out"), key=lambda file: file.stat().st_mtime
            )
            printed = outputs[-1].read_text(errors="replace")[-4000:] if outputs else printed
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(printed, encoding="utf-8")
        self._dvc("queue", "remove", name, check=False)
        return failure_of(1, log)

    def stop(self) -> None:
        """Kill workers and what they run, and empty the queue."""
        self._dvc("queue", "stop", "--kill", check=False)
        self._dvc("queue", "remove", "--all", check=False)
        self._tasks.clear()

    def _status(self) -> tuple[dict[str, str], int]:
        """Each task's state by name, and the number of workers."""
        printed = self._printed_status()
        tasks = filter(None, map(TASK.match, printed.splitlines()))
        workers = WORKERS.search(printed)
        return {task["name"]: task["state"] for task in tasks}, sum(map(int, workers.groups())) if workers else 0

    def _printed_status(self) -> str:
        for _ in range(TRIES - 1):
            with contextlib.suppress(InputError):
                return self._dvc("queue", "status")
        return self._dvc("queue", "status")

    def _dvc(self, *words: str, check: bool = True) -> str:
        return dvc(self._folder, self._variables, *words, check=check)


def dvc(folder: Path, variables: dict[str, str], *words: str, check: bool = True) -> str:
    """What a DVC command prints. Raises InputError if it fails, unless `check` is off."""
    # Into files: the workers that `queue start` leaves behind inherit them, and a pipe would end only with the workers.
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complaints:
        command = [str(PYTHON), "-m", "dvc", *words]
        done = subprocess.run(command, cwd=folder, env=variables, stdout=printed, stderr=complaints, check=False)
        for file in (printed, complaints):
            file.seek(0)
        if check and done.returncode:
            lines = [line for line in complaints.read().splitlines() if line.strip()]
            reasons = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines
            raise InputError(f"dvc {' '.join(words[:2])} failed: {reasons[-1] if reasons else 'no reason given'}")
        return printed.read()


def _remove_running(folder: Path, variables: dict[str, str], task: str) -> None:
    """Remove a task whose worker is dead, by its name or id. What it runs may live on: the first `kill` ends that."""
    for attempt in range(KILLS):  # only one that finds no process turns "Running" into "Failed": hardly ever the first
        dvc(folder, variables, "queue", "kill", "--force", task, check=False)
        if attempt and not _is_running(dvc(folder, variables, "queue", "status", check=False), task):
            break
    dvc(folder, variables, "queue", "remove", task, check=False)


def _is_running(status: str, task: str) -> bool:
    found = filter(None, map(TASK.match, status.splitlines()))
    return any(task in (each["id"], each["name"]) and each["state"] == "Running" for each in found)


def forget_tasks(store: Store, names: set[str]) -> None:
    """Remove these experiments' entries from the queue of each clone, and what is left of them."""
    for folder in store.clones():
        for reference in clones.finished(folder):
            if reference.rpartition("/")[2] in names:
                git(folder, "update-ref", "-d", reference)
        if not (folder / ".dvc/tmp/exps/celery").exists():
            continue
        variables = clones.variables(store.root)
        for line in dvc(folder, variables, "queue", "status", check=False).splitlines():
            task = TASK.match(line)
            if task and task["name"] in names:  # by its id: a cell that was tried again has two entries of one name
                if task["state"] == "Running":
                    _remove_running(folder, variables, task["id"])
                else:
                    dvc(folder, variables, "queue", "remove", task["id"], check=False)
        remove(folder / ".dvc/tmp/exps/standalone")
