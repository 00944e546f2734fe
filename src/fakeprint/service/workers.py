"""The processes that fit models, as long as the API runs: started with it, started anew if they die."""

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

log = logging.getLogger("fakeprint.service")

PAUSE = 5.0  # seconds before a worker that has died is started anew
LOOK = 0.2  # seconds between two looks at them
GRACE = 10.0  # seconds that a worker gets to stop


class Workers:
    """Keeps `count` processes of a command alive inside the context; they are new processes, not forks of this one.

    Args:
        count: how many.
        command: program and arguments. Its standard input is closed when this process ends, also if it is killed.
        environment: of the processes.
        pause: seconds before one that has died is started anew.
    """

    def __init__(
        self, count: int, command: Sequence[str], environment: Mapping[str, str], pause: float = PAUSE
    ) -> None:
        self._count, self._command, self._environment, self._pause = count, list(command), environment, pause
        self._stopping = threading.Event()
        self._running: list[subprocess.Popen[bytes]] = []
        self._keeper = threading.Thread(target=self._keep, name="workers", daemon=True)

    def __enter__(self) -> Self:
        """Start them."""
        if self._count:
            self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask them to stop; one that does not is killed."""
        self._stopping.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for process in self._running:
            process.terminate()
        until = time.monotonic() + GRACE
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdin:
                process.stdin.close()

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [process.pid for process in self._running if process.poll() is None]

    def _keep(self) -> None:
        due = [0.0] * self._count  # when each is to be started; a running one is not
        places: list[subprocess.Popen[bytes] | None] = [None] * self._count
        while not self._stopping.wait(LOOK):
            for place, process in enumerate(places):
                if process is not None and process.poll() is not None:
                    log.error(
                        "a worker has ended with code %s; another starts in %g s", process.returncode, self._pause
                    )
                    self._running.remove(process)
                    places[place], due[place] = None, time.monotonic() + self._pause
                if places[place] is None and time.monotonic() >= due[place]:
                    # In a session of its own: Ctrl-C reaches this process alone, which then asks each to stop.
                    started = subprocess.Popen(
                        self._command, env=dict(self._environment), stdin=subprocess.PIPE, start_new_session=True
                    )
                    places[place] = started
                    self._running.append(started)
