"""A worker: takes jobs, runs their pipeline in a group of processes of its own, and ends the group when it must.

A job that is cancelled ends within seconds; one whose worker is killed ends with it (see `tied_process`) and is taken
over by another worker, which goes on from the last checkpoint; one whose worker is stopped (SIGTERM) is queued again.
"""

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from fakeprint import tied_process
from fakeprint.errors import InputError
from fakeprint.service.jobs import quota, store, work_folder
from fakeprint.service.jobs.progress import Progress
from fakeprint.service.jobs.results import log_of_job
from fakeprint.service.settings import Settings
from fakeprint.service.tables import StoredJob

POLL = 1.0  # seconds between looks for a job, and between two heartbeats
STEP = 0.1  # seconds between looks at a running job

logger = logging.getLogger(__name__)


class Worker:
    """Takes one job at a time.

    Args:
        engine: of the tables.
        settings: of the service.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine, self.settings = engine, settings
        self.name = f"{socket.gethostname()[:80]}-{os.getpid()}-{secrets.token_hex(4)}"
        self.stopping = threading.Event()

    def stop(self, *_: Any) -> None:
        """Give the current job back and leave `run`. A signal handler."""
        self.stopping.set()

    def run(self, drain: bool = False) -> None:
        """Work until `stop`. drain: or until no job waits."""
        while not self.stopping.is_set():
            try:
                job = store.claim(self.engine, self.settings, self.name)
            except SQLAlchemyError as error:
                logger.warning("the database does not answer: %s", _first_line(error))
                job = None
            if job is not None:
                self._work(job)
            elif drain:
                return
            else:
                self.stopping.wait(POLL)

    def _work(self, job: StoredJob) -> None:
        logger.info("job %s begins, attempt %d", job.id, job.attempts)
        with _Heartbeat(self.engine, self.settings, job) as heartbeat:
            try:
                outcome = self._run_pipeline(job, heartbeat)
            except InputError as error:
                outcome = Outcome("failed", error=str(error))
            except Exception as error:
                logger.exception("job %s", job.id)
                outcome = Outcome("failed", error=f"the worker failed ({type(error).__name__}); its own log says more")
        self._tell(job, outcome)
        logger.info("job %s: %s", job.id, outcome.state)
        if outcome.state in store.ENDED:
            try:
                quota.enforce_quota(self.engine, self.settings)
            except (SQLAlchemyError, OSError) as error:
                logger.warning("work folders of ended jobs cannot be removed: %s", _first_line(error))

    def _tell(self, job: StoredJob, outcome: "Outcome") -> None:
        """Write the outcome, trying again as long as the lease lasts: after it another worker has the job."""
        until = time.monotonic() + self.settings.lease_seconds
        while True:
            try:
                if outcome.state == "queued":
                    store.give_back(self.engine, job)
                elif outcome.state != "lost":
                    store.finish(self.engine, job, outcome.state, outcome.result, outcome.error)
                return
            except SQLAlchemyError as error:
                logger.warning("the end of %s cannot be written: %s", job.id, _first_line(error))
                if time.monotonic() > until:
                    return
                time.sleep(POLL)

    def _run_pipeline(self, job: StoredJob, heartbeat: "_Heartbeat") -> "Outcome":
        folder = work_folder.make(self.settings, job)
        log = log_of_job(self.settings, job.id)
        progress = Progress(log, work_folder.count_stages(folder), work_folder.networks(folder), job.progress)
        deadline = time.monotonic() + self.settings.job_hours * 3600
        with _pipeline(folder, log, work_folder.environment(self.settings)) as process:
            while process.running() and time.monotonic() < deadline:
                if progress.update():
                    heartbeat.report = progress.report
                if self.stopping.is_set() or heartbeat.state != "running":
                    break
                time.sleep(STEP)
        progress.update()
        heartbeat.report = progress.report
        if heartbeat.state is None:
            return Outcome("lost")
        if heartbeat.state == "cancelling":
            return Outcome("cancelled")
        if process.status == 0:
            stages = progress.report["stages"]
            heartbeat.report = {**progress.report, "stage": None, "stages_done": stages, "eta_seconds": 0.0}
            return Outcome("succeeded", work_folder.result(folder))
        if process.status is not None:
            stage = progress.report["stage"]
            line = progress.error or (f"the stage {stage} failed" if stage else "dvc failed")
            return Outcome("failed", error=f"{line} (see the log)")
        if self.stopping.is_set():
            return Outcome("queued")
        hours = f"{self.settings.job_hours:g} hours"
        return Outcome("failed", error=f"it took longer than {hours} (FAKEPRINT_JOB_HOURS)")


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: succeeded, failed, cancelled, queued (given back) or lost (another worker has the job).

    result: figures of the champion. error: one line.
    """

    state: str
    result: dict[str, Any] | None = None
    error: str = ""


class _Heartbeat(threading.Thread):
    """Renews the lease on a job, and tells its progress.

    state: of the job, as the last renewal found it: running, cancelling, or None if this worker has lost it, also
    because no renewal succeeded for as long as the lease lasts. report: what the next renewal is to tell.
    """

    def __init__(self, engine: Engine, settings: Settings, job: StoredJob) -> None:
        super().__init__(name=f"lease of {job.id}", daemon=True)
        self._engine, self._settings, self._job = engine, settings, job
        self._done = threading.Event()
        self.state: str | None = "running"
        self.report: dict[str, Any] | None = None

    def __enter__(self) -> "_Heartbeat":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
        if self.state is not None:
            self._renew(time.monotonic())

    def run(self) -> None:
        """Renew until the job has ended."""
        renewed = time.monotonic()
        while not self._done.wait(min(POLL, self._settings.lease_seconds / 4)) and self.state is not None:
            renewed = self._renew(renewed)

    def _renew(self, renewed: float) -> float:
        """The time of the last renewal that succeeded, given the one before."""
        report, self.report = self.report, None
        begun = time.monotonic()
        try:
            self.state = store.renew(self._engine, self._settings, self._job, report)
        except SQLAlchemyError as error:
            self.report = self.report or report
            logger.warning("the lease on %s cannot be renewed: %s", self._job.id, _first_line(error))
            if time.monotonic() - renewed > self._settings.lease_seconds:
                self.state = None
            return renewed
        return begun


class _Process:
    """A pipeline that runs. status: its exit status, None while it runs and where it was killed."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self.status: int | None = None

    def running(self) -> bool:
        """Whether it runs. It is not collected, so that its number remains that of the group."""
        ended = os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return True
        self.status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return False

    def end(self) -> None:
        """Kill what is left of the group and collect it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()


@contextlib.contextmanager
def _pipeline(folder: Path, log: Path, environment: dict[str, str]) -> Iterator[_Process]:
    """Start `dvc repro` in a group of its own, which is gone in the end."""
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [work_folder.PYTHON, tied_process.__file__, "dvc", "repro"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,  # closes when this process ends
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = _Process(popen)
    try:
        yield process
    finally:
        process.end()
        if popen.stdin:
            popen.stdin.close()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
