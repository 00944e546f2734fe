"""A thread that sends to MLflow, so that a slow or dead server holds up no training and a short failure loses nothing.

MLflow repeats each request a few times. A task that fails nevertheless is tried again, for `RETRY_FOR` at most, and for
`PATIENCE` once the stage's work is over. Where logging is all of a stage's work, the stage waits for it, for
`RETRY_FOR` at most, and `PATIENCE` begins when a try fails. Then one warning says that MLflow is not used any more, and
the stage continues: DVC's files hold everything that MLflow shows, and the stage `track` completes the run from them.
"""

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from filelock import Timeout

from fakeprint.tracking.connection import import_mlflow, is_local, masked, tracking_uri
from fakeprint.tracking.origin import held
from fakeprint.tracking.session import Session

RETRY_FOR = 1800.0  # seconds that a task is tried while the stage works
PATIENCE = 45.0  # seconds that it is tried after that, but not on a server that has not answered yet
LAST_TRY = 15.0  # seconds that the last try may take: MLflow's own retries of a request
PAUSE = 10.0  # longest, in seconds, between two tries

Task = Callable[[Session], object]


class Background:
    """Does tasks in order, on one session, from `with` to the end of the block."""

    def __init__(self, experiment: str):
        self._experiment = experiment
        self._session: Session | None = None
        self._tasks: queue.SimpleQueue[tuple[Task, bool, threading.Event | None] | None] = queue.SimpleQueue()
        self._closed = float("inf")  # when the stage's work was over
        self._waited = 0.0  # seconds, in `finish`
        self._lost = False
        self._held = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def __enter__(self) -> "Background":
        # Before the thread starts: a process that forks in the middle of an import may hang its children.
        try:
            import_mlflow()
            self._held.enter_context(held())
        except Exception as error:
            self._give_up(error)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = time.monotonic()
        self._tasks.put(None)
        self._thread.join(PATIENCE + LAST_TRY)
        if self._thread.is_alive():
            self._give_up(TimeoutError(f"still busy after {self._waited + PATIENCE + LAST_TRY:.0f} s"))
        self._held.close()

    def send(self, task: Task, final: bool = False) -> None:
        """Have the thread do this; returns at once. A final task is tried even after an earlier one was given up."""
        self._tasks.put((task, final, None))

    def finish(self, task: Task) -> None:
        """Have the thread do this, which is all that the stage has to do, and wait until it is done or given up.

        A slow server gets `RETRY_FOR`, one that is away `PATIENCE`.
        """
        ended, since = threading.Event(), time.monotonic()
        self._tasks.put((task, False, ended))
        ended.wait(RETRY_FOR)
        self._waited = time.monotonic() - since

    def _work(self) -> None:
        while (item := self._tasks.get()) is not None:
            task, final, ended = item
            if final or not self._lost:
                self._try(task, waits=ended is not None)
            if ended:
                ended.set()

    def _try(self, task: Task, waits: bool) -> None:
        """Do a task, if need be several times. waits: whether the stage has no other work meanwhile."""
        first, pause = time.monotonic(), 0.5
        while True:
            try:
                self._session = self._session or Session(self._experiment)
                task(self._session)
                return
            except Exception as error:
                if waits:
                    self._closed = min(self._closed, time.monotonic())
                patience = PATIENCE if self._session or is_local(tracking_uri()) else 0.0
                left = min(first + RETRY_FOR, self._closed + patience) - time.monotonic()
                if self._lost or left <= 0 or not _may_pass(error):
                    self._give_up(error)
                    return
            time.sleep(min(pause, left, PAUSE))
            pause *= 2

    def _give_up(self, error: Exception) -> None:
        if not self._lost:
            self._lost = True
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            where, why = masked(tracking_uri()), masked(reason)[:200]  # a cut address would keep its password
            print(f"warning: MLflow at {where} is not used from here on: {why}", file=sys.stderr)


def _may_pass(error: Any) -> bool:
    """Whether the same task may succeed later: no connection, a server that is overloaded, another process's lock."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    if isinstance(error, MlflowException):
        return error.get_http_status_code() in (408, 429) or error.get_http_status_code() >= 500
    return isinstance(error, RequestException | Timeout)
