"""What a stranger's archive may hold, checked before its files are listed, since readers list and unpack in memory."""

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fakeprint.data.containers.members import damage_in_one_line
from fakeprint.data.containers.tars import _opened, _unpacked
from fakeprint.data.regular import open_regular
from fakeprint.errors import InputError

ENTRY = struct.Struct("<4s4B4HL2L5H2L")  # of a .zip's directory, before its name, extra field and comment
LONGEST_ENTRIES = 512  # bytes per member that a .zip's directory may be long, on average
SMALL = 2**20  # bytes that may be unpacked at any ratio


@dataclass(frozen=True)
class Limits:
    """members: files and folders. unpacked: bytes of all of them. ratio: of these to the archive's own bytes."""

    members: int
    unpacked: int
    ratio: float


def require_limits(path: Path, limits: Limits) -> None:
    """Check an archive against the limits, in memory that does not grow with it.

    What a .zip's directory states counts: the reader unpacks no more than that of any member. A .tar is read from start
    to end, a compressed one up to the first byte beyond a limit.

    Raises:
        InputError: it exceeds a limit, or is damaged.
    """
    size = path.stat().st_size
    most = min(limits.unpacked, max(SMALL, int(limits.ratio * size)))
    count = _Count(path, limits, most)
    with damage_in_one_line(path), open_regular(path) as file:
        if path.name.lower().endswith(".zip"):
            _count_zip(file, count)
        else:
            _count_tar(file, count)


class _Count:
    """Counts members and bytes, and raises InputError beyond the limits."""

    def __init__(self, path: Path, limits: Limits, most: int) -> None:
        self.path, self.limits, self.most = path, limits, most
        self.members = self.bytes = 0

    def member(self, size: int = 0) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise InputError(f"{self.path} has more than {self.limits.members:,} members; send it in parts")
        self.add(size)

    def add(self, size: int) -> None:
        self.bytes += size
        if self.bytes > self.most:
            what = f"more than {self.limits.unpacked / 2**20:,.0f} MiB"
            if self.most < self.limits.unpacked:
                what = f"more than {self.limits.ratio:g} times its own size"
            raise InputError(f"{self.path} would be {what} when unpacked; pack fewer files")


def _count_zip(file: BinaryIO, count: _Count) -> None:
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if not end:
        raise zipfile.BadZipFile("File is not a zip file")
    length = end[zipfile._ECD_SIZE]  # type: ignore[attr-defined]
    start = end[zipfile._ECD_LOCATION] - length  # type: ignore[attr-defined]
    if end[zipfile._ECD_SIGNATURE] == zipfile.stringEndArchive64:  # type: ignore[attr-defined]
        file.seek(end[zipfile._ECD_LOCATION])  # type: ignore[attr-defined]
        if file.read(4) != zipfile.stringEndArchive64:  # type: ignore[attr-defined]
            # Older versions of Python give the place of the last record, which comes after the two of ZIP64
            start -= zipfile.sizeEndCentDir64 + zipfile.sizeEndCentDir64Locator  # type: ignore[attr-defined]
    if length > LONGEST_ENTRIES * count.limits.members or start < 0:
        raise InputError(f"{count.path}: its directory of {length:,} bytes is too long; send it in parts")
    at = start
    while at < start + length:
        file.seek(at)
        entry = file.read(ENTRY.size)
        if len(entry) < ENTRY.size or not entry.startswith(b"PK\1\2"):
            raise zipfile.BadZipFile("Bad magic number for central directory")
        fields = ENTRY.unpack(entry)
        names = sum(fields[12:15])
        size = fields[11]
        if size == 0xFFFFFFFF:
            file.seek(fields[12], 1)
            size = _long_size(file.read(fields[13]))
        count.member(size)
        at += ENTRY.size + names


def _long_size(extra: bytes) -> int:
    """The unpacked size from a .zip member's extra field: the first number of the block with the id 1."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == 1 and length >= 8 and len(extra) >= 12:
            return int.from_bytes(extra[4:12], "little")
        extra = extra[4 + length :]
    raise zipfile.BadZipFile("the size of a member is missing")


class _Counted:
    """The bytes of a stream, counted as they are read."""

    def __init__(self, file: BinaryIO, count: _Count) -> None:
        self._file, self._count = file, count

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._count.add(len(content))
        return content


def _count_tar(file: BinaryIO, count: _Count) -> None:
    stream = cast(BinaryIO, _Counted(_unpacked(file), count))
    with _opened(stream, "r|") as archive:
        while archive.next() is not None:
            archive.members.clear()  # type: ignore[attr-defined]
            count.member()
    while stream.read(SMALL):  # what follows the last member is unpacked by the reader too
        pass
