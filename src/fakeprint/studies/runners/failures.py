"""Why a cell failed: by its own fault, so that it would fail again, or because of the machine."""

import re
from pathlib import Path

from fakeprint.studies.store import Failure

ERROR = re.compile(r"^error: (?P<line>.+)", re.MULTILINE)  # as `errors.one_line_errors` prints it
# What another attempt may get over: killed, no memory, no space, a lock or a connection that is not there for a while.
MACHINE = re.compile(
    r"exited with (-\d+|137|143)\b|Killed|MemoryError|Cannot allocate memory|[Oo]ut of memory|OutOfMemory"
    r"|No space left on device|Disk quota exceeded|Input/output error|Stale file handle|Too many open files"
    r"|[Uu]nable to acquire lock|database is locked|Connection (refused|reset|aborted)|BrokenProcessPool"
    r"|CUDA error|cuDNN error|can't start new thread"
    r"|lacks the package|ModuleNotFoundError"  # while the environment is made anew
)
BY_SIGNAL = range(129, 193)  # statuses by which a shell tells of a signal; DVC's own for a failure is 255
LAST_LINES = 4000  # characters of a log that count


def failure_of(status: int | None, log: Path, begin: int = 0) -> Failure:
    """What went wrong.

    Args:
        status: of the process that ran the cell, below 0 or in `BY_SIGNAL` if a signal ended it; None if nobody knows.
        log: what it printed.
        begin: byte of the log where this attempt begins.
    """
    text = _tail(log, begin)
    errors = ERROR.findall(text)
    found = MACHINE.search(text)
    if status is None or status < 0 or status in BY_SIGNAL:
        return Failure(own=False, line=found[0] if found else "killed")
    if found:
        return Failure(own=False, line=_line_with(text, found.start()))
    if errors:
        return Failure(own=True, line=errors[0])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Failure(own=True, line=lines[-1][:300] if lines else f"ended with status {status}")


def _tail(log: Path, begin: int) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - LAST_LINES))
        return file.read().decode(errors="replace")


def _line_with(text: str, place: int) -> str:
    begin, end = text.rfind("\n", 0, place) + 1, text.find("\n", place)
    return text[begin : end if end >= 0 else len(text)].strip()[:300]
