"""How the runner of DVC's queue calls DVC."""

import os
from pathlib import Path

import psutil
import pytest

from fakeprint.errors import InputError
from fakeprint.studies.runners.queue import dvc

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


def test_a_command_that_fails_is_told_by_its_last_line(tmp_path: Path) -> None:
    failing = variables(tmp_path, 'import sys; print("said"); sys.exit("a line\\nERROR: no such task\\n")')
    with pytest.raises(InputError, match=r"^dvc queue remove failed: ERROR: no such task$"):
        dvc(tmp_path, failing, "queue", "remove", "x")
    assert dvc(tmp_path, failing, "queue", "remove", "x", check=False) == "said\n"
