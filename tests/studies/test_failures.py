"""Whether a cell's end is its own fault, by its status and log."""

from pathlib import Path

import pytest

from fakeprint.studies.runners.failures import failure_of
from fakeprint.studies.store import Failure

LACKS = "error: `python` is /a/python, which lacks the package skops: activate Fakeprint's environment first"


@pytest.mark.parametrize(
    ("status", "printed", "own", "line"),
    [
        (1, "error: knn: k is too large; choose another one", True, "knn: k is too large; choose another one"),
        (1, "Traceback\nValueError: odd", True, "ValueError: odd"),
        (1, "", True, "ended with status 1"),
        (-9, "epoch 3", False, "killed"),
        (137, "epoch 3", False, "killed"),
        (
            255,
            "OSError: [Errno 28] No space left on device: 'x'",
            False,
            "OSError: [Errno 28] No space left on device: 'x'",
        ),
        (1, LACKS, False, LACKS),
        (1, "ModuleNotFoundError: No module named 'rich'", False, "ModuleNotFoundError: No module named 'rich'"),
        (None, "epoch 3", False, "killed"),
    ],
)
def test_own_faults_and_the_machines(tmp_path: Path, status: int | None, printed: str, own: bool, line: str) -> None:
    log = tmp_path / "log"
    log.write_text(f"an earlier attempt: Killed\n{printed}\n")
    begin = len("an earlier attempt: Killed\n")
    assert failure_of(status, log, begin) == Failure(own=own, line=line)
