"""Bars of long loops: on a terminal, and nowhere else."""

import os
import pty
import subprocess
import sys
import termios

LOOP = "from fakeprint.progress import quiet, track; print(sum(track(range(5), 'adding')))"


def on_a_terminal(code: str) -> str:
    """What a process prints whose stderr is a real terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, text=True, check=True)
    os.close(theirs)
    assert done.stdout == "10\n"
    os.set_blocking(ours, False)
    try:
        return os.read(ours, 10_000).decode()
    except (BlockingIOError, OSError):  # nothing was printed
        return ""
    finally:
        os.close(ours)


def test_a_bar_on_a_terminal() -> None:
    shown = on_a_terminal(LOOP)
    assert "adding" in shown
    assert "5/5" in shown


def test_no_bar_where_it_is_quiet() -> None:
    code = "from fakeprint.progress import quiet, track\nwith quiet(): print(sum(track(range(5), 'adding')))"
    assert on_a_terminal(code) == ""


def test_no_bar_in_a_log() -> None:
    done = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("10\n", "")
