"""Who made a run, and whether its process lives."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fakeprint.files import started
from fakeprint.tracking.origin import lives, source_tags, this_process


def test_a_user_who_has_no_name(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert source_tags("search trees", "search")["mlflow.user"] == str(os.getuid())


def test_a_number_that_another_process_has_by_now(clone: Path) -> None:
    host, pid, start = socket.gethostname(), os.getpid(), started(os.getpid())
    assert this_process() == f"{host}-{pid}-{start}"
    assert lives(f"{host}-{pid}-{start}")
    assert not lives(f"{host}-{pid}-{(start or 0) - 1}")
    left = Path(f".fakeprint/processes/{host}-{pid}-{(start or 0) - 1}.lock")
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()  # as a process leaves it that was killed
    assert not lives(left.stem)
    assert not left.exists()
    assert not lives(left.stem)
    assert lives(f"{host}x-{pid}-{start}")  # another machine's: cannot be seen
    assert lives("")


@pytest.mark.slow
def test_a_container_that_was_replaced_by_another(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one has another host name and other process ids, and the same files."""
    script = """
    import sys
    from fakeprint.tracking.origin import held, this_process
    with held():
        print(this_process(), flush=True)
        sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    name = process.stdout.readline().strip()
    monkeypatch.setattr(socket, "gethostname", lambda: "new")
    assert lives(name)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not lives(name)
    assert not lives(name)
