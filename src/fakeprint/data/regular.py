"""Regular files, opened without blocking and read up to a limit."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from fakeprint.data.decode import Unreadable

# A pipe without a writer would block in `open` without it; a terminal would become this process's own.
WITHOUT_WAITING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read; links are followed.

    Its kind is checked before it is opened, because opening some devices has effects, and again afterwards, because
    another file may have replaced it.

    Raises:
        Unreadable: the file is missing, may not be read, or is a folder, pipe, device or socket.
    """
    try:
        _require_regular(path.stat().st_mode)
        descriptor = os.open(path, WITHOUT_WAITING)
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable("missing") from None
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    file = os.fdopen(descriptor, "rb")
    try:
        _require_regular(os.fstat(descriptor).st_mode)
    except Unreadable:
        file.close()
        raise
    return file


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The whole content of a regular file. Raises Unreadable as `open_regular` does, and for a longer file."""
    with open_regular(path) as file:
        try:
            length = os.fstat(file.fileno()).st_size
            content = file.read(length + 1) if length <= most_bytes else None
            if content is not None and len(content) > length:  # it grows, or has no stated length, as under /proc
                content += file.read(most_bytes + 1 - len(content))
        except OSError as error:
            raise Unreadable(f"cannot be read ({error.strerror})") from None
    if content is None or len(content) > most_bytes:
        raise Unreadable("too large")
    return content


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise Unreadable("a folder")
    if not stat.S_ISREG(mode):
        raise Unreadable("not a regular file")
