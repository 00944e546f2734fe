"""A .tar, read by offsets from any process, and a compressed .tar, which can only be read from its start."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from fakeprint.data.containers.members import (
    Batch,
    chunks,
    damage_in_one_line,
    hidden,
    plain,
    points_outside,
    position,
    refuse,
    require_utf8,
)
from fakeprint.data.decode import Unreadable
from fakeprint.data.regular import open_regular

LONGEST_HEADER = 2**20  # bytes of a long name or of extended headers; tarfile reads them whole
XZ_MEMORY = 2**28  # bytes to unpack with; `xz -9` needs a quarter of it
BATCH_BYTES = 2**24  # bytes of one batch of a compressed .tar; several wait in memory for their processes
PIECE = 2**20  # bytes read at a time where they are not kept
TABLE_BYTES = 2**26  # bytes of tables that are kept as the archive is listed, so that they need no pass of their own
EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
HEADERS = (*EXTENDED, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class Index(NamedTuple):
    """names: sorted. places: int64 (N, 2), offset and length of each file's content in the unpacked archive."""

    names: list[str]
    places: np.ndarray


class Tar:
    """A .tar; members are read by their offsets, from any process."""

    def __init__(self, path: Path):
        self.path = path
        with damage_in_one_line(path), open_regular(path) as file, _opened(file, "r:") as archive:
            self._index = _index(path, _members(archive))

    @property
    def names(self) -> list[str]:
        """The archive's files."""
        return self._index.names

    def read(self, name: str, most_bytes: int) -> bytes:
        """The whole content of one member. Raises Unreadable."""
        (content,) = _read_ranges(self.path, [_place(self._index, name)], most_bytes)
        if isinstance(content, Unreadable):
            raise content
        return content

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named members, in batches of `size`."""
        for rows in chunks(len(names), size):
            places = [_place(self._index, names[row]) for row in rows]
            yield Batch(rows, partial(_read_ranges, self.path.absolute(), places, most_bytes))


class CompressedTar:
    """A compressed .tar, which every pass unpacks in memory from its start.

    The first use of `names` takes a pass to list the members, and keeps the tables. After that, a pass ends at the last
    requested member. `batches` of an archive that is not listed reads all of it and may yield a member several times,
    of which the last counts.
    """

    def __init__(self, path: Path):
        self.path = path
        self._tables: dict[str, bytes] = {}

    @property
    def names(self) -> list[str]:
        """The archive's files."""
        return self._index.names

    def read(self, name: str, most_bytes: int) -> bytes:
        """The whole content of one member; tables are kept in memory. Raises Unreadable."""
        content: bytes | Unreadable = Unreadable("missing")
        if position(self.names, name) is not None:
            content = self._tables.get(name, content)
        if isinstance(content, Unreadable):
            for _, found in self._contents({name}, most_bytes):
                content = found
        if isinstance(content, bytes) and len(content) > most_bytes:
            content = Unreadable("too large")
        if isinstance(content, Unreadable):
            raise content
        return content

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named members in the archive's order, in batches of at most `size` and `BATCH_BYTES`, or one longer."""
        rows_of: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            rows_of.setdefault(name, []).append(row)
        rows: list[int] = []
        contents: list[bytes | Unreadable] = []
        gathered = 0
        for name, content in self._contents(set(rows_of), most_bytes):
            length = len(content) if isinstance(content, bytes) else 0
            if rows and (len(rows) >= size or gathered + length > BATCH_BYTES):
                yield Batch(rows, partial(list, contents))
                rows, contents, gathered = [], [], 0
            if length > BATCH_BYTES:
                yield Batch(rows_of[name], partial(list, [content] * len(rows_of[name])), in_memory=True)
                continue
            rows += rows_of[name]
            contents += [content] * len(rows_of[name])
            gathered += length
        if rows:
            yield Batch(rows, partial(list, contents))

    @cached_property
    def _index(self) -> Index:
        with self._pass() as archive:
            return _index(self.path, self._keeping_tables(archive))

    def _keeping_tables(self, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        room = TABLE_BYTES
        for member in _members_to_the_end(archive):
            name = plain(member.name)
            if name.lower().endswith(".csv") and member.isreg():
                room += len(self._tables.pop(name, b""))
                if member.size <= room:
                    self._tables[name] = _content(archive, member)
                    room -= member.size
            yield member

    def _contents(self, requested: set[str], most_bytes: int) -> Iterator[tuple[str, bytes | Unreadable]]:
        """Names and contents of the requested members, in the archive's order."""
        index = self.__dict__.get("_index")  # not listed: not worth a pass
        left = requested if index is None else {name for name in requested if position(index.names, name) is not None}
        if not left:
            return
        with self._pass() as archive:
            for member in _members_to_the_end(archive):
                name = plain(member.name)
                if name not in left or not member.isreg():
                    continue
                # A name may be there twice: the last one counts, as in unpacking.
                if index is not None and _place(index, name) != (member.offset_data, member.size):
                    continue
                yield name, _content(archive, member) if member.size <= most_bytes else Unreadable("too large")
                if index is not None:
                    left.remove(name)
                    if not left:
                        return

    @contextmanager
    def _pass(self) -> Iterator[tarfile.TarFile]:
        """The archive, to be read from its start."""
        with (
            damage_in_one_line(self.path),
            open_regular(self.path) as file,
            _unpacked(file) as unpacked,
            _opened(unpacked, "r|") as archive,
        ):
            yield archive


class _Member(tarfile.TarInfo):
    """A header that is refused where tarfile would take it for the archive's end, or read gigabytes for a name.

    So is one of negative length, of which `read` would give all that follows, and one of a sparse file, whose list of
    pieces may be of any length.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        try:
            return super().frombuf(buf, encoding, errors)
        except (tarfile.EmptyHeaderError, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"damaged header: {error}") from None

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in HEADERS and self.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        _require_length(self.size)
        if self.type == tarfile.XGLTYPE:  # kept for all members that follow
            kept = archive.__dict__["kept"] = archive.__dict__.get("kept", 0) + self.size
            if kept > LONGEST_HEADER:
                raise tarfile.ReadError(f"global headers of {kept} bytes")
        try:
            member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"damaged header: {error}") from None
        _require_length(member.size)
        return member

    def _proc_sparse(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        raise tarfile.ReadError(f"sparse member {self.name}, as of tar's --sparse")

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, headers: object, archive: tarfile.TarFile) -> None:
        raise tarfile.ReadError(f"sparse member {member.name}, as of tar's --sparse")


def _require_length(length: int) -> None:
    if length < 0:
        raise tarfile.ReadError(f"damaged header: a length of {length} bytes")


class _Xz(io.RawIOBase):
    """An .xz file from its start; lzma.LZMAFile would allocate a dictionary of up to 4 GiB if the file says so."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, none at the end."""
        while True:
            packed = b""
            if self._unpacker.eof:  # several streams may follow each other, with zeros between
                packed = (self._unpacker.unused_data or self._file.read(PIECE)).lstrip(b"\0")
                if not packed:
                    return b""
                self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)
            elif self._unpacker.needs_input:
                packed = self._file.read(PIECE)
                if not packed:
                    raise EOFError("the file ends too early")
            content = self._unpacker.decompress(packed, size)
            if content:
                return content


def _opened(file: BinaryIO, mode: str) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode=mode, tarinfo=_Member)  # type: ignore[call-overload]


def _unpacked(file: BinaryIO) -> BinaryIO:
    """The bytes inside a compressed file; identified by its first bytes, since the suffix may name another method."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(file))
    if start == b"\xfd7zXZ\0":
        return cast(BinaryIO, _Xz(file))
    return file


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members that are not folders, without the list of all members that tarfile would keep."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]
        if not member.isdir():
            yield member


def _members_to_the_end(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a stream that are not folders; the stream is read to its end, where its checksum is."""
    yield from _members(archive)
    while cast(BinaryIO, archive.fileobj).read(PIECE):
        pass


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _index(path: Path, members: Iterator[tarfile.TarInfo]) -> Index:
    outside: list[str] = []
    links: list[str] = []
    found: dict[str, tuple[int, int]] = {}
    for member in members:
        name = plain(member.name)
        if points_outside(member.name):
            outside.append(member.name)
        elif not member.isreg() or member.issparse():
            links.append(member.name)
        elif not hidden(name):
            found[name] = (member.offset_data, member.size)
    refuse(path, outside, links)
    names = sorted(found)
    require_utf8(path, names)
    numbers = (number for name in names for number in found[name])
    return Index(names, np.fromiter(numbers, dtype=np.int64, count=2 * len(names)).reshape(-1, 2))


def _place(index: Index, name: str) -> tuple[int, int] | None:
    row = position(index.names, name)
    return None if row is None else (int(index.places[row, 0]), int(index.places[row, 1]))


def _read_ranges(path: Path, places: list[tuple[int, int] | None], most_bytes: int) -> Iterator[bytes | Unreadable]:
    try:
        file = open_regular(path)
    except Unreadable as error:
        yield from [error] * len(places)
        return
    with file:
        for place in places:
            if place is None:
                yield Unreadable("missing")
            elif place[1] > most_bytes:
                yield Unreadable("too large")
            else:
                file.seek(place[0])
                yield file.read(place[1])
