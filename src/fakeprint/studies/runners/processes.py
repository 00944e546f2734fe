"""A process that ends with the one that started it, with all that it starts itself, and what it gets to see."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fakeprint import tied_process

PYTHON = Path(sys.executable)  # runs DVC and every stage, whatever `python` is on the PATH
# What a cell must not take over from this process: the place of another experiment, or of another repository.
NOT_INHERITED = ("DVC_EXP_", "DVC_ROOT", "DVC_STAGE", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "MLFLOW_RUN_ID")


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Of this process, with `python` and `dvc` on the PATH as this one runs."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)}
    path = f"{PYTHON.parent}{os.pathsep}{own.get('PATH', os.defpath)}"
    return {**own, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", **extra}


class TiedProcess:
    """A Python module that runs in a group of its own, which is killed when this process ends, however it ends.

    Args:
        words: the module and its arguments.
        folder: where it runs.
        log: the file that its output is added to.
        variables: its environment.
    """

    def __init__(self, words: Sequence[str], folder: Path, log: Path, variables: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.begin, self.since = log, log.stat().st_size if log.exists() else 0, time.monotonic()
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [str(PYTHON), tied_process.__file__, *words],
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.PIPE,  # closes when this process ends
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.since

    def poll(self) -> int | None:
        """Its exit status, below 0 if a signal ended it; None while it runs."""
        return self._popen.poll()

    def end(self) -> None:
        """Kill the group, and collect it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        if self._popen.stdin:
            self._popen.stdin.close()
