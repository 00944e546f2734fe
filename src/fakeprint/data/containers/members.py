"""What folders and archives share: batches of files, names that are hidden or refused, errors of damaged archives."""

import lzma
import struct
import tarfile
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fakeprint.data.decode import Unreadable
from fakeprint.errors import InputError, first_few, printable

# What the readers of archives raise at damaged ones; a name that is not UTF-8 is a ValueError.
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError),
    *(struct.error, OverflowError, NotImplementedError, RecursionError),
)


@dataclass(frozen=True)
class Batch:
    """Some files of a container, picklable: `read()` gives their contents in the order of `rows`.

    rows: positions in the list of requested names. in_memory: the contents are long and in this process's memory
    already; use them in this process, before the next batch is made.
    """

    rows: list[int]
    read: Callable[[], Iterable[bytes | Unreadable]]
    in_memory: bool = False


def chunks(count: int, size: int) -> Iterator[list[int]]:
    """0 to `count` − 1, in lists of up to `size`."""
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))


def position(names: Sequence[str], name: str) -> int | None:
    """The index of a name in a sorted list, None if it is not there."""
    row = bisect_left(names, name)
    return row if row < len(names) and names[row] == name else None


def hidden(name: str) -> bool:
    """Whether the file is hidden, or one that macOS adds to archives."""
    return name.startswith(".") or "/." in name or ("__MACOSX" in name and "__MACOSX" in name.split("/"))


def plain(name: str) -> str:
    """A member's name with "/" between its parts and no `.` among them."""
    simple = name and "\\" not in name and "//" not in name and "./" not in name and not name.endswith(("/", "/."))
    return name if simple else str(PurePosixPath(name.replace("\\", "/")))  # 40 times as slow


def points_outside(name: str) -> bool:
    """Whether this member would be unpacked outside the target folder."""
    if name[:1] not in ("", "/", "\\") and ".." not in name and name[1:2] != ":":
        return False
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":")


def refuse(path: Path, outside: list[str], links: list[str]) -> None:
    """Raises InputError if an archive has members that point outside it or are not plain files."""
    bad = list(dict.fromkeys([*outside, *links]))
    if bad:
        raise InputError(
            f"data.path: {path} has {len(bad)} member(s) that point outside it or are links: {first_few(bad)}; "
            "pack it again with plain files and relative names"
        )


def require_utf8(path: Path, names: Iterable[str]) -> None:
    """Raises InputError for names that are not UTF-8, which tables cannot hold."""
    bad = [name for name in names if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name)]
    if bad:
        raise InputError(
            f"data.path: {path} has {len(bad)} file name(s) that are not UTF-8: {first_few(bad)}; rename them"
        )


@contextmanager
def damage_in_one_line(path: Path) -> Iterator[None]:
    """Turn what readers of archives raise into one InputError."""
    try:
        yield
    except InputError:
        raise
    except Unreadable as error:
        raise InputError(f"data.path: {path}: {error.reason}") from None
    except DAMAGE as error:
        reason = printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
        raise InputError(
            f"data.path: {path} cannot be read as an archive ({reason}); download or pack it again"
        ) from None
