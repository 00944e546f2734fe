"""How the runner of DVC's queue calls DVC."""

import os
from pathlib import Path

import psutil
import pytest

from fakeprint.errors import InputError
from fakeprint.studies.runners.queue import QueueRunner, dvc

SPAWNS = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])  # inherits the output, as workers do
pathlib.Path("worker").write_text(str(child.pid))
print(*sys.argv[1:])
"""


def variables(folder: Path, main: str) -> dict[str, str]:
    """Those with which `python -m dvc` runs this module."""
    (folder / "dvc").mkdir()
    (folder / "dvc/__init__.py").touch()
    (folder / "dvc/__main__.py").write_text(main)
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_a_command_does_not_wait_for_the_workers_that_it_starts(tmp_path: Path) -> None:
    assert dvc(tmp_path, variables(tmp_path, SPAWNS), "queue", "start", "--jobs", "1") == "queue start --jobs 1\n"
    worker = psutil.Process(int((tmp_path / "worker").read_text()))
    assert worker.is_running() and worker.exe() == psutil.Process().exe()
    worker.kill()


def test_the_reason_of_a_command_that_fails_is_its_error_line(tmp_path: Path) -> None:
    complaint = "a line\\nERROR: no such task\\n\\nHaving any troubles? Hit us up\\n"
    failing = variables(tmp_path, f'import sys; print("said"); sys.exit("{complaint}")')
    with pytest.raises(InputError, match=r"^dvc queue remove failed: no such task$"):
        dvc(tmp_path, failing, "queue", "remove", "x")
    assert dvc(tmp_path, failing, "queue", "remove", "x", check=False) == "said\n"


FAILS_AT_FIRST = """
import pathlib, sys
calls = pathlib.Path("calls")
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
if len(calls.read_text()) <= {failures}:
    sys.exit("ERROR: unexpected error - database is locked")
print("Task     Name    Created    Status\\n1234567  nine    10:00 AM   Running\\n\\nWorker status: 1 active, 0 idle")
"""


@pytest.mark.parametrize("failures", [0, 2, 3])
def test_a_status_that_fails_is_requested_again(tmp_path: Path, failures: int) -> None:
    runner = object.__new__(QueueRunner)
    runner._folder, runner._variables = tmp_path, variables(tmp_path, FAILS_AT_FIRST.format(failures=failures))
    if failures == 3:
        with pytest.raises(InputError, match=r"^dvc queue status failed: unexpected error - database is locked$"):
            runner._status()
    else:
        assert runner._status() == ({"nine": "Running"}, 1)
