"""Bodies of multipart/form-data, written to files part by part as they arrive.

The framework would keep the whole body in memory or in the system's temporary folder first. Here every limit is checked
before the byte beyond it is written, names that were sent name no file, and nothing stays after an error.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from fakeprint.errors import InputError, printable
from fakeprint.service.problems import ServiceError
from fakeprint.service.settings import MIB, Settings
from fakeprint.service.threads import finished, folder_in

TEXT_BYTES = 64 * MIB  # of all fields that are no files: a label per image, for example
HEADER_BYTES = 2**14  # of the headers of one part
PART_BYTES = 512  # that a part of its own takes in memory at least, counted as text


@dataclass
class SentFile:
    """A file of a form. name: as it was sent, to be shown only. path: where it is. digest: its SHA-256."""

    name: str
    path: Path
    bytes: int = 0
    digest: str = ""


@dataclass
class Form:
    """What was sent. files, texts: by field, in the order sent. folder: of the files, removed after the request."""

    folder: Path
    files: dict[str, list[SentFile]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """A field that may be given once.

        Raises:
            InputError: it was given more often.
        """
        values = self.texts.get(name, [])
        if len(values) > 1:
            raise InputError(f"{name} is given {len(values)} times; give it once")
        return values[0] if values else None

    def json(self, name: str, default: object) -> object:
        """A field that holds JSON. Raises InputError if it does not."""
        text = self.text(name)
        try:
            return default if text is None else json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(f"{name} is not JSON") from None

    def require_known(self, files: set[str], texts: set[str]) -> None:
        """Raises InputError for fields of another name."""
        for kind, given, known in (("files", self.files, files), ("text", self.texts, texts)):
            for name in given:
                if name not in known:
                    listed = ", ".join(sorted(known))
                    raise InputError(f"the field '{printable(name)}' is no field of {kind}; known: {listed}")


def is_multipart(request: Request) -> bool:
    """Whether the body is a form with files."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


@asynccontextmanager
async def received(request: Request, settings: Settings) -> AsyncIterator[Form]:
    """The form of a request, with its files in a folder of their own that is removed at the end.

    Raises:
        ServiceError: 413 beyond `max_archive_mib`, `max_file_mib` for an image, `max_members` files; 415 for another
            media type; 422 for a body that is no form.
    """
    if not is_multipart(request):
        raise ServiceError(415, "send multipart/form-data")
    most = int(settings.max_archive_mib * MIB)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most + TEXT_BYTES:
        raise ServiceError(413, _too_long(settings))
    async with folder_in(settings.folder / "uploads") as folder:
        receiver = _Receiver(Form(folder), settings, most)
        try:
            parser = MultipartParser(_boundary(request), receiver.callbacks())  # type: ignore[arg-type]
            async for piece in request.stream():
                await finished(parser.write, piece)  # of a cancelled request too, before its folder is removed
            parser.finalize()
        except FormParserError:
            raise ServiceError(422, "the body is not valid multipart/form-data") from None
        finally:
            receiver.close()
        if not receiver.ended:
            raise ServiceError(422, "the body of multipart/form-data ends too early")
        yield receiver.form


def _too_long(settings: Settings) -> str:
    return f"the files are longer than {settings.max_archive_mib:g} MiB (FAKEPRINT_MAX_ARCHIVE_MIB) together"


def _boundary(request: Request) -> bytes:
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise ServiceError(422, "multipart/form-data needs a boundary of 1 to 70 characters")
    return boundary


class _Receiver:
    """Takes what the parser finds, and writes the files."""

    def __init__(self, form: Form, settings: Settings, most: int) -> None:
        self.form, self.settings, self.most = form, settings, most
        self.ended = False
        self._bytes = self._text_bytes = self._count = 0
        self._header, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._file: BinaryIO | None = None
        self._sent: SentFile | None = None
        self._digest = hashlib.sha256()
        self._text = bytearray()
        self._field = ""

    def callbacks(self) -> dict[str, object]:
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end")
        return {f"on_{name}": getattr(self, f"_{name}") for name in (*names, "headers_finished", "end")}

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _end(self) -> None:
        self.ended = True

    def _part_begin(self) -> None:
        self._headers = {}
        self._header.clear()
        self._value.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._require_short_headers()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._require_short_headers()

    def _require_short_headers(self) -> None:
        known = sum(len(name) + len(value) for name, value in self._headers.items())
        if known + len(self._header) + len(self._value) > HEADER_BYTES:
            raise ServiceError(413, f"the headers of a part are longer than {HEADER_BYTES} bytes")

    def _header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise ServiceError(422, "a part of the body has no name")
        self._field = options[b"name"].decode(errors="replace")
        self._add_text(PART_BYTES)
        self._text = bytearray()
        if b"filename" not in options:
            return
        self._count += 1
        if self._count > self.settings.max_members:
            raise ServiceError(413, f"more than {self.settings.max_members:,} files; send an archive in parts")
        path = self.form.folder / f"{self._count:07}"
        self._sent = SentFile(options[b"filename"].decode(errors="replace"), path)
        self._digest = hashlib.sha256()
        self._file = path.open("xb")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None or self._sent is None:
            self._add_text(end - start)
            self._text += data[start:end]
            return
        self._bytes += end - start
        self._sent.bytes += end - start
        if self._bytes > self.most:
            raise ServiceError(413, _too_long(self.settings))
        if self._field == "files" and self._sent.bytes > self.settings.max_file_mib * MIB:
            most = f"{self.settings.max_file_mib:g} MiB (FAKEPRINT_MAX_FILE_MIB)"
            raise ServiceError(413, f"the image '{printable(self._sent.name)}' is longer than {most}")
        self._file.write(memoryview(data)[start:end])
        self._digest.update(memoryview(data)[start:end])

    def _add_text(self, size: int) -> None:
        self._text_bytes += size
        if self._text_bytes > TEXT_BYTES:
            counted = f"a form may have {TEXT_BYTES // MIB} MiB of text, to which each part adds {PART_BYTES} bytes"
            raise ServiceError(413, f"the form has too many parts or too much text; send an archive ({counted})")

    def _part_end(self) -> None:
        if self._file is None or self._sent is None:
            try:
                self.form.texts.setdefault(self._field, []).append(self._text.decode())
            except UnicodeDecodeError:
                raise ServiceError(422, f"the field '{printable(self._field)}' is not UTF-8") from None
            return
        self._file.close()
        self._sent.digest = self._digest.hexdigest()
        self.form.files.setdefault(self._field, []).append(self._sent)
        self._file = self._sent = None
