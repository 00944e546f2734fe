"""The files of a source: a folder, a .zip, a .tar or a compressed .tar, read in place and in parallel.

An archive is never unpacked. A member that points outside it (an absolute name, `..`), and any link, is refused.
Every read has a limit, and only regular files are opened, because a source may hold anything.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from fakeprint.data.containers.folders import Folder
from fakeprint.data.containers.members import Batch, damage_in_one_line
from fakeprint.data.containers.tars import CompressedTar, Tar
from fakeprint.data.containers.zips import Zip
from fakeprint.data.regular import open_regular
from fakeprint.errors import InputError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Container(Protocol):
    """A folder or an archive."""

    path: Path

    @property
    def names(self) -> list[str]:
        """Its files, "/" between the parts, sorted; hidden files are left out."""

    def read(self, name: str, most_bytes: int) -> bytes:
        """The whole content of one file. Raises Unreadable, also for a file longer than `most_bytes`."""

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named files, in batches of at most `size`; a file longer than `most_bytes` is not read but Unreadable."""


def open_container(path: str | Path) -> Container:
    """Open a source's folder or archive.

    Raises:
        InputError: no such file, an unknown or damaged archive, or one with members that point outside. For a
            compressed .tar these are found only when its files are listed or read.
    """
    path = Path(path)
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"data.path: {path} does not exist") from None
    except OSError as error:
        raise InputError(f"data.path: {path}: cannot be read ({error.strerror})") from None
    if stat.S_ISDIR(kind):
        return Folder(path)
    name = path.name.lower()
    if not name.endswith((".zip", *TAR_SUFFIXES)):
        raise InputError(f"data.path: {path} is neither a folder nor a .zip, .tar or .tar.gz")
    with damage_in_one_line(path):
        open_regular(path).close()
    if name.endswith(".zip"):
        return Zip(path)
    return Tar(path) if name.endswith(".tar") else CompressedTar(path)
