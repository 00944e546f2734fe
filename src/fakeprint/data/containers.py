"""Where a source's bytes lie: a folder, a .zip, a .tar or a compressed .tar, each read in place and in parallel.

An archive is never unpacked. A member that points outside it (an absolute name, `..`), and any link, is refused.
"""

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from fakeprint.data.decode import Unreadable
from fakeprint.errors import InputError, first_few

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Batch:
    """Some files of a container, picklable: `read()` gives their contents in the order of `rows`.

    rows: positions in the list of names that was asked for.
    """

    rows: list[int]
    read: Callable[[], Iterable[bytes | Unreadable]]


class Container(Protocol):
    """A folder or an archive. `names`: its files, "/" between the parts, sorted; hidden files are left out."""

    path: Path
    names: list[str]

    def read(self, name: str) -> bytes:
        """The whole content of one file."""

    def read_many(self, names: list[str]) -> dict[str, bytes]:
        """The contents of some files by name; archives that must be read from their start are read once."""

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named files, `size` a batch; a file longer than `most_bytes` comes as Unreadable, unread."""


def open_container(path: str | Path) -> Container:
    """Open a source's folder or archive.

    Raises:
        InputError: nothing there, no known archive, a damaged one, or one with members that point outside.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"data.path: {path} does not exist")
    if path.is_dir():
        return Folder(path)
    try:
        if path.name.lower().endswith(".zip"):
            return Zip(path)
        if path.name.lower().endswith(".tar"):
            return Tar(path)
        if path.name.lower().endswith(TAR_SUFFIXES):
            return CompressedTar(path)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"data.path: {path} can not be read as an archive ({said}): fetch or pack it again") from None
    raise InputError(f"data.path: {path} is neither a folder nor a .zip, .tar or .tar.gz")


class Folder:
    """A folder; links in it are followed, but not into a folder's own parents."""

    def __init__(self, path: Path):
        self.path = path
        self.names = sorted(_walk(path, "", ()))

    def read(self, name: str) -> bytes:
        """The whole content of one file."""
        return (self.path / name).read_bytes()

    def read_many(self, names: list[str]) -> dict[str, bytes]:
        """The contents of some files by name."""
        return {name: self.read(name) for name in names}

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named files, `size` a batch."""
        for rows in _chunks(len(names), size):
            yield Batch(rows, partial(_read_files, self.path.absolute(), [names[row] for row in rows], most_bytes))


class Zip:
    """A .zip; every process opens it once."""

    def __init__(self, path: Path):
        self.path = path
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
        links = [member.filename for member in members if stat.S_ISLNK(member.external_attr >> 16)]
        _refuse(path, links, [member.filename for member in members])
        locked = [member.filename for member in members if member.flag_bits & 1]
        if locked:
            raise InputError(
                f"data.path: {path} is encrypted ({first_few(locked, 3)}): pack it again without a password"
            )
        self._members = {_plain(member.filename): member.filename for member in members}
        self.names = sorted(name for name in self._members if not _hidden(name))

    def read(self, name: str) -> bytes:
        """The whole content of one member."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(self._members[name])

    def read_many(self, names: list[str]) -> dict[str, bytes]:
        """The contents of some files by name."""
        return {name: self.read(name) for name in names}

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named members, `size` a batch."""
        version = self.path.stat().st_mtime_ns
        for rows in _chunks(len(names), size):
            members = [self._members[names[row]] for row in rows]
            yield Batch(rows, partial(_read_zip, self.path.absolute(), version, members, most_bytes))


class Tar:
    """A .tar; members are read by their offsets, from any process."""

    mode = "r:"

    def __init__(self, path: Path):
        self.path = path
        with tarfile.open(path, self.mode) as archive:  # type: ignore[call-overload]
            members = [member for member in archive if not member.isdir()]
        _refuse(path, [member.name for member in members if not member.isreg()], [member.name for member in members])
        self._places = {_plain(member.name): (member.offset_data, member.size) for member in members}
        self.names = sorted(name for name in self._places if not _hidden(name))

    def read(self, name: str) -> bytes:
        """The whole content of one member."""
        offset, size = self._places[name]
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def read_many(self, names: list[str]) -> dict[str, bytes]:
        """The contents of some files by name."""
        return {name: self.read(name) for name in names}

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named members, `size` a batch."""
        for rows in _chunks(len(names), size):
            places = [self._places[names[row]] for row in rows]
            yield Batch(rows, partial(_read_ranges, self.path.absolute(), places, most_bytes))


class CompressedTar(Tar):
    """A compressed .tar can only be read from its start: one pass unpacks it in memory and hands the contents out."""

    mode = "r:*"

    def read(self, name: str) -> bytes:
        """The whole content of one member; reads the archive up to it."""
        return self.read_many([name])[name]

    def read_many(self, names: list[str]) -> dict[str, bytes]:
        """The contents of some members by name, in one pass."""
        unlimited = max(size for _, size in self._places.values())
        return {name: bytes(content) for name, content in self._stream(set(names), unlimited)}  # type: ignore[arg-type]

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named members in the archive's order, `size` a batch."""
        rows_of: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            rows_of.setdefault(name, []).append(row)
        rows: list[int] = []
        contents: list[bytes | Unreadable] = []
        for name, content in self._stream(set(rows_of), most_bytes):
            rows += rows_of[name]
            contents += [content] * len(rows_of[name])
            if len(rows) >= size:
                yield Batch(rows, partial(list, contents))
                rows, contents = [], []
        if rows:
            yield Batch(rows, partial(list, contents))

    def _stream(self, wanted: set[str], most_bytes: int) -> Iterator[tuple[str, bytes | Unreadable]]:
        with tarfile.open(self.path, "r|*") as archive:
            for member in archive:
                name = _plain(member.name)
                # A name may stand twice: the last one counts, as in unpacking.
                if not member.isreg() or name not in wanted or self._places[name] != (member.offset_data, member.size):
                    continue
                file = archive.extractfile(member) if member.size <= most_bytes else None
                yield name, file.read() if file else Unreadable("too large")


def _walk(folder: Path, prefix: str, parents: tuple[Path, ...]) -> Iterator[str]:
    real = folder.resolve()
    if real in parents:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", (*parents, real))
            else:
                yield prefix + entry.name


def _hidden(name: str) -> bool:
    """Hidden files and what macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _plain(name: str) -> str:
    return str(PurePosixPath(name.replace("\\", "/")))


def _refuse(path: Path, links: list[str], names: list[str]) -> None:
    outside = [name for name in names if _points_outside(name)]
    bad = [*outside, *(name for name in links if name not in outside)]
    if bad:
        raise InputError(
            f"data.path: {path} has {len(bad)} member(s) that point outside it or are links: {first_few(bad)}; "
            "pack it again with plain files and relative names"
        )


def _points_outside(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":")


def _chunks(count: int, size: int) -> Iterator[list[int]]:
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))


def _read_files(root: Path, names: list[str], most_bytes: int) -> Iterator[bytes | Unreadable]:
    for name in names:
        path = root / name
        try:
            yield Unreadable("too large") if path.stat().st_size > most_bytes else path.read_bytes()
        except FileNotFoundError:
            yield Unreadable("missing")
        except OSError as error:
            yield Unreadable(f"can not be read ({error.strerror})")


@lru_cache(maxsize=1)
def _opened_zip(path: Path, version: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _read_zip(path: Path, version: int, members: list[str], most_bytes: int) -> Iterator[bytes | Unreadable]:
    archive = _opened_zip(path, version)
    for member in members:
        try:
            yield Unreadable("too large") if archive.getinfo(member).file_size > most_bytes else archive.read(member)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError):
            yield Unreadable("corrupt")


def _read_ranges(path: Path, places: list[tuple[int, int]], most_bytes: int) -> Iterator[bytes | Unreadable]:
    with path.open("rb") as file:
        for offset, size in places:
            if size > most_bytes:
                yield Unreadable("too large")
                continue
            file.seek(offset)
            yield file.read(size)
