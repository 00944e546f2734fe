"""A folder of files."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fakeprint.data.containers.members import Batch, chunks, hidden, require_utf8
from fakeprint.data.decode import Unreadable
from fakeprint.data.regular import read_regular
from fakeprint.errors import InputError, first_few

LINKED = "a link to a folder"


class Folder:
    """A folder. Linked files are read; linked folders are refused, since DVC does not see changes in them.

    The folder itself may be a link, which DVC follows.
    """

    def __init__(self, path: Path):
        self.path = path
        found = list(walk(path))
        _refuse_closed(path, [(name, reason) for name, reason in found if reason is not None])
        self.names = sorted(name for name, _ in found)
        require_utf8(path, self.names)

    def read(self, name: str, most_bytes: int) -> bytes:
        """The whole content of one file. Raises Unreadable."""
        return read_regular(self.path / name, most_bytes)

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named files, in batches of `size`."""
        for rows in chunks(len(names), size):
            yield Batch(rows, partial(_read_files, self.path.absolute(), [names[row] for row in rows], most_bytes))


def walk(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Every file below a folder, "/" between the parts, in the order of the parts, and None; hidden ones are left out.

    Links to folders are not followed, since they may form loops; they are yielded with the reason `LINKED`. Folders
    that cannot be read are yielded with another reason.
    """
    waiting: list[tuple[str, bool, str | None]] = [("", True, None)]
    while waiting:
        name, is_folder, reason = waiting.pop()
        if not is_folder:
            yield name, reason
            continue
        try:
            with os.scandir(folder / name) as found:
                entries = sorted((entry for entry in found if not hidden(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            yield name, f"cannot be read ({error.strerror})"
            continue
        for entry in reversed(entries):
            inside = f"{name}/{entry.name}" if name else entry.name
            linked = LINKED if _links_to_folder(entry) else None
            waiting.append((inside, entry.is_dir(follow_symlinks=False), linked))


def _refuse_closed(path: Path, closed: list[tuple[str, str]]) -> None:
    """Raises InputError for folders that are links or cannot be read."""
    for name, reason in closed:
        if reason != LINKED:
            raise InputError(f"data.path: the folder {path / name} {reason}")
    if closed:
        shown = [f"{path / name} is {(path / name).resolve()}" for name, _ in closed]
        raise InputError(
            f"data.path: {len(closed)} folder(s) are symbolic links, and DVC would not notice changes in them: "
            f"{first_few(shown, 3)}; replace each link by the folder itself, or link its files"
        )


def _links_to_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a loop, or no permission: reading it gives the reason
        return False


def _read_files(root: Path, names: list[str], most_bytes: int) -> Iterator[bytes | Unreadable]:
    for name in names:
        try:
            yield read_regular(root / name, most_bytes)
        except Unreadable as error:
            yield error
