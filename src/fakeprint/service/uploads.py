"""Images out of a request's body, which stays in memory: nothing is written to disk, and names are names only."""

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Annotated, Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from fakeprint.service.answers import Requested
from fakeprint.service.json_bodies import holds_more
from fakeprint.service.problems import ServiceError
from fakeprint.service.schemas import PredictRequest
from fakeprint.service.settings import MIB, Settings

FIELDS = 16  # that are no files
LONGEST_FIELD = 4096  # bytes
LONGEST_NAME = 255  # characters of a file's name that are repeated
PARTS = 32  # of the JSON of an image, as `holds_more` counts them: 7 are needed, the others leave room for mistakes
NOT_BASE64 = "not base64 (without a prefix such as data:image/png;base64,)"

_truth: TypeAdapter[bool] = TypeAdapter(Annotated[bool, None])


class _InMemory(MultiPartParser):
    """Starlette's parser, which never moves a file to disk."""

    spool_max_size = 0  # no limit: that of the body holds


class Held:
    """Counts the bytes of all bodies that are held. most: of all requests together."""

    def __init__(self, most: float) -> None:
        self._most, self._held = most, 0

    @contextlib.contextmanager
    def one_request(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves bytes for this request; all of them are released at the end.

        The function raises ServiceError (503) if all requests together would hold more than `most`.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self._held + count > self._most:
                raise ServiceError(503, "too many large requests at a time; try again soon", {"Retry-After": "1"})
            self._held += count
            taken += count

        try:
            yield take
        finally:
            self._held -= taken


async def read(request: Request, settings: Settings, take: Callable[[int], None]) -> Requested:
    """Read the images of a request for predictions, multipart or JSON.

    Args:
        request: whose body nobody has read.
        settings: limits.
        take: from `Held.one_request`.

    Raises:
        ServiceError: 400, 413, 415 or 422. A file that is too large, or is not base64, has a reason instead of content.
        RequestValidationError: the JSON is not a `PredictRequest`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        requested = await _multipart(request, settings, take)
    elif kind == "application/json" or kind.endswith("+json"):
        requested = await _json(request, settings, take)
    else:
        raise ServiceError(415, "send multipart/form-data, one field `files` per image, or application/json")
    if not requested.images:
        raise ServiceError(422, "files: at least one image is needed, in a field `files` with a file name")
    most = int(settings.max_file_mib * MIB)
    too_large = f"larger than {settings.max_file_mib:g} MiB"
    images = [
        (name, too_large if len(content) > most and isinstance(content, bytes) else content)
        for name, content in requested.images
    ]
    return Requested(images, requested.explain, requested.evidence)


async def _counted(request: Request, take: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(request.stream()) as stream:
        async for chunk in stream:
            take(len(chunk))
            yield chunk


async def _multipart(request: Request, settings: Settings, take: Callable[[int], None]) -> Requested:
    parser = _InMemory(
        request.headers,
        _counted(request, take),
        max_files=settings.max_files,
        max_fields=FIELDS,
        max_part_size=LONGEST_FIELD,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many(settings) from None
        raise ServiceError(400, f"the multipart body cannot be read: {error.message}") from None
    except (ValueError, LookupError):  # from the codec, where it is one that decodes nothing or no text
        raise ServiceError(400, "the multipart body cannot be read: leave `charset` out of its Content-Type") from None
    try:
        images: list[tuple[str, bytes | str]] = []
        for field, value in form.multi_items():
            if isinstance(value, UploadFile):
                if field != "files":
                    raise ServiceError(422, f"there is no field '{field[:64]}' for files: use `files`")
                # a charset such as utf-7 can write halves of characters, which the answer could not repeat
                name = (value.filename or "image")[:LONGEST_NAME].encode(errors="replace").decode()
                images.append((name, value.file.read()))
            elif field not in ("explain", "evidence"):
                raise ServiceError(
                    422, f"there is no field '{field[:64]}'; known: files (with a file name), explain, evidence"
                )
        return Requested(images, _flag(form.get("explain"), "explain"), _flag(form.get("evidence"), "evidence"))
    finally:
        await form.close()


def _flag(value: Any, name: str) -> bool:
    try:
        return value is not None and _truth.validate_python(value)
    except ValidationError:
        raise ServiceError(422, f"{name}: give true or false") from None


async def _json(request: Request, settings: Settings, take: Callable[[int], None]) -> Requested:
    chunks = [chunk async for chunk in _counted(request, take)]
    return await asyncio.to_thread(_parsed, b"".join(chunks), settings)


def _parsed(body: bytes, settings: Settings) -> Requested:
    if holds_more(body, PARTS * (settings.max_files + 1)):
        raise _too_many(settings)
    try:
        requested = PredictRequest.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None
    if len(requested.images) > settings.max_files:
        raise _too_many(settings)  # before anything is decoded
    images = [(image.name, _decoded(image.content)) for image in requested.images]
    return Requested(images, requested.explain, requested.evidence)


def _decoded(content: str) -> bytes | str:
    """The bytes, or the reason why there are none. Base64 may be broken into lines, as many programs write it."""
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return NOT_BASE64


def _too_many(settings: Settings) -> ServiceError:
    return ServiceError(413, f"more than {settings.max_files} images in one request; send them in several")
