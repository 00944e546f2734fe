"""A .zip: its directory is read once, and every process reads members by their offsets."""

import bz2
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from fakeprint.data.containers.members import (
    DAMAGE,
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
from fakeprint.errors import InputError, first_few

PIECE = 2**20  # bytes unpacked at a time
LZMA_MEMORY = 2**28  # bytes; a member may need a dictionary of 4 GiB


class Member(NamedTuple):
    """A member by its directory entry: offset of its header, packed and unpacked length, CRC-32, method."""

    offset: int
    packed: int
    size: int
    crc: int
    method: int


class Zip:
    """A .zip. The names and five numbers per member are kept of its directory."""

    def __init__(self, path: Path):
        self.path = path
        joined, self._numbers = _directory(path)
        self.names = joined.split("\0") if joined else []
        require_utf8(path, self.names)

    def read(self, name: str, most_bytes: int) -> bytes:
        """The whole content of one member. Raises Unreadable."""
        (content,) = _read_members(self.path, [self._member(name)], most_bytes)
        if isinstance(content, Unreadable):
            raise content
        return content

    def batches(self, names: list[str], size: int, most_bytes: int) -> Iterator[Batch]:
        """The named members, in batches of `size`."""
        for rows in chunks(len(names), size):
            members = [self._member(names[row]) for row in rows]
            yield Batch(rows, partial(_read_members, self.path.absolute(), members, most_bytes))

    def _member(self, name: str) -> Member | None:
        row = position(self.names, name)
        return None if row is None else Member(*self._numbers[row].tolist())


def _directory(path: Path) -> tuple[str, np.ndarray]:
    """The sorted names with NUL between them, and uint64 (N, 5), the members' numbers.

    The names are one string, as zipfile's entries, some 500 bytes each, could not be freed from around many small ones.
    """
    with damage_in_one_line(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if any(member.header_offset < 0 for member in members):
            raise zipfile.BadZipFile("its start is missing")
    _require_plain(path, members)
    last = {plain(member.filename): member for member in members}
    names = sorted(name for name in last if not hidden(name))
    numbers = (number for name in names for number in _numbers(last[name]))
    return "\0".join(names), np.fromiter(numbers, dtype=np.uint64, count=5 * len(names)).reshape(-1, 5)


def _numbers(member: zipfile.ZipInfo) -> Member:
    return Member(member.header_offset, member.compress_size, member.file_size, member.CRC, member.compress_type)


def _require_plain(path: Path, members: list[zipfile.ZipInfo]) -> None:
    links = [member.filename for member in members if stat.S_ISLNK(member.external_attr >> 16)]
    refuse(path, [member.filename for member in members if points_outside(member.filename)], links)
    locked = [member.filename for member in members if member.flag_bits & 1]
    if locked:
        raise InputError(f"data.path: {path} is encrypted ({first_few(locked, 3)}): pack it again without a password")


def _read_members(path: Path, members: list[Member | None], most_bytes: int) -> Iterator[bytes | Unreadable]:
    try:
        file = open_regular(path)
    except Unreadable as error:
        yield from [error] * len(members)
        return
    with file:
        for member in members:
            try:
                yield _read_member(file, member, most_bytes)
            except Unreadable as error:
                yield error
            except DAMAGE:
                yield Unreadable("corrupt")


def _read_member(file: BinaryIO, member: Member | None, most_bytes: int) -> bytes:
    """Unpack a member, never more than its directory entry states or `most_bytes` allows.

    zipfile's own reader has no such limit for bzip2 and LZMA, where 4 KiB may become gigabytes.
    """
    if member is None:
        raise Unreadable("missing")
    if member.size > most_bytes:
        raise Unreadable("too large")
    file.seek(member.offset)
    header = file.read(zipfile.sizeFileHeader)  # type: ignore[attr-defined]
    if len(header) < zipfile.sizeFileHeader or not header.startswith(zipfile.stringFileHeader):  # type: ignore[attr-defined]
        raise Unreadable("corrupt")
    file.seek(sum(struct.unpack("<HH", header[-4:])), 1)  # the name and the extra field
    content = BytesIO()
    unpacker, packed_left, first = _unpacker(file, member)
    while content.tell() < member.size and (packed_left or first):
        piece = file.read(min(PIECE, packed_left))
        if not piece and not first:
            break
        packed_left -= len(piece)
        content.write(unpacker.decompress(first + piece, member.size - content.tell()))
        first = b""
    if content.tell() != member.size or zlib.crc32(content.getbuffer()) != member.crc:
        raise Unreadable("corrupt")
    return content.getvalue()


class _Unpacker(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Stored:
    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return data[:max_length]


def _unpacker(file: BinaryIO, member: Member) -> tuple[_Unpacker, int, bytes]:
    """What unpacks a member, how many packed bytes follow, and what it must be given before them."""
    if member.method == zipfile.ZIP_STORED:
        return _Stored(), member.packed, b""
    if member.method == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS), member.packed, b""
    if member.method == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor(), member.packed, b""
    if member.method == zipfile.ZIP_LZMA:
        # Version and length of the properties, 2 bytes each, and 5 bytes of properties: with the length (here: unknown)
        # behind them they are the header of an .lzma file.
        properties = file.read(9)[4:]
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY)
        return unpacker, max(0, member.packed - 9), properties + b"\xff" * 8
    raise Unreadable("unsupported compression")
