"""The files of a model's folder against the digests on its card. No link is followed, no name of the card is opened."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field

from fakeprint.data.regular import WITHOUT_WAITING
from fakeprint.errors import InputError

HexDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Kind = Literal["file", "link", "other"]
Status = Literal["match", "changed", "missing", "extra", "refused"]
SHOWN = 12  # of a digest's 64 characters, in messages


class FileDigest(BaseModel):
    """Length in bytes and SHA-256, in hexadecimal, of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    bytes: Annotated[int, Interval(ge=0)]
    sha256: HexDigest


@dataclass(frozen=True)
class FileCheck:
    """One file: its name, `/` between the parts, whether it is what the card says, and how it differs."""

    name: str
    status: Status
    detail: str = ""


def digests_of(folder: Path, without: str) -> dict[str, FileDigest]:
    """The digest of each file in a folder and below, by name, sorted; `without` is the one that is left out.

    Raises InputError for a link or anything else that is neither a file nor a folder.
    """
    found: dict[str, FileDigest] = {}
    for name, kind in sorted(_listed(folder)):
        if kind != "file":
            raise InputError(f"{folder / name} is {_refusal(kind)}; a card covers files alone, so replace or remove it")
        if name != without:
            found[name] = _digest(folder / name)
    return found


def compared(folder: Path, recorded: Mapping[str, FileDigest], without: str) -> list[FileCheck]:
    """Each file of the card and of the folder, sorted by name; `without` is the card itself.

    Raises InputError if the folder or a file in it cannot be read.
    """
    listed = {name: kind for name, kind in _listed(folder) if name != without}
    return [_compared(folder, name, listed.get(name), recorded.get(name)) for name in sorted({*recorded, *listed})]


def _compared(folder: Path, name: str, kind: Kind | None, recorded: FileDigest | None) -> FileCheck:
    if kind is None and leaves_the_folder(name):
        return FileCheck(name, "refused", "the card names a place outside of the folder; nothing was read there")
    if kind is None:
        return FileCheck(name, "missing", "the card lists it, the folder does not have it")
    if kind != "file":
        return FileCheck(name, "refused", f"{_refusal(kind)}, which is not followed")
    if recorded is None:
        return FileCheck(name, "extra", "the card does not list it")
    found = _digest(folder / name)
    if found.bytes != recorded.bytes:
        return FileCheck(name, "changed", f"{found.bytes:,} bytes, the card says {recorded.bytes:,}")
    if found != recorded:
        digests = f"sha256 {found.sha256[:SHOWN]}…, the card says {recorded.sha256[:SHOWN]}…"
        return FileCheck(name, "changed", digests)
    return FileCheck(name, "match")


def leaves_the_folder(name: str) -> bool:
    """Whether a name is no plain relative path: absolute, with `..`, empty parts, or as Windows spells paths."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    unusual = posix.as_posix() != name or "\\" in name or bool(windows.drive)
    return unusual or posix.is_absolute() or name in ("", ".") or ".." in posix.parts


def _refusal(kind: Kind) -> str:
    return "a link" if kind == "link" else "neither a file nor a folder"


def _listed(folder: Path, prefix: str = "") -> Iterator[tuple[str, Kind]]:
    """Everything in a folder and below but the folders, with its kind; links are listed, not followed."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if entry.is_symlink():
                    yield name, "link"
                elif entry.is_dir(follow_symlinks=False):
                    yield from _listed(folder / entry.name, f"{name}/")
                else:
                    yield name, "file" if entry.is_file(follow_symlinks=False) else "other"
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror})") from None


def _digest(path: Path) -> FileDigest:
    """A regular file's digest, read a block at a time. A link that has replaced it meanwhile is not followed."""
    try:
        descriptor = os.open(path, WITHOUT_WAITING | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{path} is not a regular file any more")
            return FileDigest(
                bytes=os.fstat(descriptor).st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest()
            )
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
