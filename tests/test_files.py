"""Outputs written whole or not at all, and what killed processes leave behind."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakeprint.files import written, written_folder

HOST = platform.node()
KILLED = """
import os, signal, sys
from pathlib import Path
from fakeprint.files import written, written_folder
with written_folder("a/folder") as folder, written("a/file.json") as file:
    (folder / "inside").write_text("half")
    file.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(ZeroDivisionError), written(tmp_path / "file") as partial:
        partial.write_text("new")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), written_folder(tmp_path / "folder") as partial:
        (partial / "inside").write_text("new")
        raise ZeroDivisionError
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_folder_replaces_a_folder_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "a/inside").mkdir(parents=True)
    (tmp_path / "b").write_text("a file of this name")
    for name in ("a", "b"):
        with written_folder(tmp_path / name) as partial:
            (partial / "new").touch()
        assert names(tmp_path / name) == ["new"]
    assert names(tmp_path) == ["a", "b"]


def test_two_threads_may_write_one_file(tmp_path: Path) -> None:
    with written(tmp_path / "file") as first, written(tmp_path / "file") as second:
        first.write_text("first")
        second.write_text("second")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "first"  # the last to end


def test_what_a_killed_process_left_goes_with_the_next_output(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    left = names(tmp_path / "a")
    assert len(left) == 2 and all(".partial" in name for name in left)
    with written(tmp_path / "a/other.txt") as partial:
        partial.write_text("whole")
    assert names(tmp_path / "a") == ["other.txt"]


def test_what_living_processes_write_is_left_alone(tmp_path: Path) -> None:
    with written(tmp_path / "file") as first, written_folder(tmp_path / "folder") as second:
        first.write_text("half")
        script = "from fakeprint.files import write_json; write_json('other.json', 1)"
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
        assert names(tmp_path) == sorted([first.name, second.name, "other.json"])


def test_a_reused_process_number_is_no_living_writer(tmp_path: Path) -> None:
    """This process lives; it did not start when the file says that its writer did."""
    partial = tmp_path / f".file.{os.getpid()}-12345@{HOST}.partial"
    if not Path("/proc/self/stat").exists():
        pytest.skip("only /proc tells when a process started")
    partial.write_text("half")
    with written(tmp_path / "other") as other:
        other.write_text("whole")
    assert names(tmp_path) == ["other"]


def test_a_name_that_is_no_text_stops_no_writer(tmp_path: Path) -> None:
    """The kernel cuts a process's name after 15 bytes, which may be in the middle of a letter."""
    if not Path("/proc/self/comm").exists():
        pytest.skip("only Linux names processes so")
    script = "open('/proc/self/comm', 'wb').write(b'caf\\xc3'); from fakeprint.files import write_json; "
    script += "write_json('file.json', 1)"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])  # /proc mounted with hidepid=1, with 2
def test_a_process_that_proc_does_not_show_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    living = tmp_path / f".living.{os.getppid()}-12345@{HOST}.partial"
    dead = tmp_path / f".dead.999999999-12345@{HOST}.partial"
    shown = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.parts[1] == "proc" and path.parts[2] not in ("self", str(os.getpid())):
            raise error
        return shown(path)

    for path in (living, dead):
        path.write_text("half")
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(Path, "read_text", lambda path, *_, **__: read_bytes(path).decode())
    with written(tmp_path / "other") as partial:
        partial.write_text("whole")
    assert names(tmp_path) == [living.name, "other"]


def test_another_machine_s_files_go_when_they_are_a_day_old(tmp_path: Path) -> None:
    """Its processes cannot be looked up. A folder is as old as the newest file in it."""
    old, busy = tmp_path / ".old.7-7@another.host.partial", tmp_path / ".busy.7-7@another.host.partial"
    fresh = tmp_path / ".fresh.7-7@another.host.partial.npy"
    for folder in (old, busy):
        folder.mkdir()
        (folder / "inside").write_text("half")
    fresh.write_text("half")
    long_ago = time.time() - 25 * 3600
    for path in (old / "inside", old, busy):
        os.utime(path, (long_ago, long_ago))
    with written(tmp_path / "other") as partial:
        partial.write_text("whole")
    assert names(tmp_path) == sorted([busy.name, fresh.name, "other"])
