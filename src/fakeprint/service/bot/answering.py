"""From images to the text and the pictures of an answer."""

import asyncio
import base64
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from telegram.error import TelegramError

from fakeprint.service.bot import texts
from fakeprint.service.bot.received import Received
from fakeprint.service.bot.settings import BotSettings
from fakeprint.service.client import ApiError, Client

MODEL_SECONDS = 300.0  # how long the description of a model is taken as it was

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """What is sent. pictures: PNG files."""

    text: str
    pictures: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class _Answer:
    """The API's answer to one image, or `text` instead of one."""

    image: dict[str, Any] | None
    digest: str | None
    text: str

    @property
    def picture(self) -> bytes | None:
        encoded = (self.image or {}).get("map")
        return base64.b64decode(encoded) if encoded else None


class Answering:
    """Fetches images from Telegram and asks the API about them, a limited number at a time. Nothing is kept."""

    def __init__(self, settings: BotSettings) -> None:
        self._settings = settings
        key = settings.api_key.get_secret_value() if settings.api_key else None
        self._client = Client(settings.api, key, settings.api_seconds)
        self._turns = asyncio.Semaphore(settings.at_once)
        self._model: tuple[str, float, dict[str, Any] | None] | None = None  # digest, when, description

    async def answer(self, images: Sequence[Received]) -> Reply:
        """The answer to one image, or to all images of an album in one."""
        answers = await asyncio.gather(*(self._one(image) for image in images))
        digest = next((answer.digest for answer in answers if answer.digest), None)
        model = await self._description(digest) if digest else None
        pictures = tuple(answer.picture for answer in answers if answer.picture is not None)
        return Reply(_text(answers, images, model), pictures)

    async def models(self) -> Reply:
        """What /models is answered with."""
        try:
            return Reply(texts.models(await self._get("/models")))
        except ApiError as error:
            return Reply(self._trouble(error))

    async def _one(self, image: Received) -> _Answer:
        if image.refusal:
            return _Answer(None, None, image.refusal)
        async with self._turns:
            try:
                file = await image.file.get_file()
                if (file.file_size or 0) > self._settings.max_file_bytes:  # the message did not say so
                    return _Answer(None, None, texts.too_large(file.file_size or 0, self._settings.max_file_mib))
                content = bytes(await file.download_as_bytearray())
            except TelegramError as error:
                _log.warning("a file could not be fetched:", exc_info=error)
                return _Answer(None, None, texts.NOT_FETCHED)
            images, explain = [(image.name, content)], self._settings.explain
            try:
                body = await asyncio.to_thread(self._client.predict, images, explain=explain)
            except ApiError as error:
                return _Answer(None, None, self._trouble(error))
        found = body["images"][0]
        return _Answer(found, body["model"]["digest"], texts.verdict(found))

    async def _description(self, digest: str) -> dict[str, Any] | None:
        """What GET /models says of the model that answered; None where it says nothing."""
        if self._model and self._model[0] == digest and time.monotonic() - self._model[1] < MODEL_SECONDS:
            return self._model[2]
        try:
            listed = (await self._get("/models"))["models"]
        except ApiError as error:
            self._trouble(error)
            return None
        found = next((model for model in listed if model["digest"] == digest), None)
        self._model = (digest, time.monotonic(), found)
        return found

    async def _get(self, path: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._client.get, path)

    def _trouble(self, error: ApiError) -> str:
        _log.warning("the API: %s%s", f"{error.status} " if error.status else "", error.detail)
        return texts.trouble(error)


def _text(answers: Sequence[_Answer], images: Sequence[Received], model: dict[str, Any] | None) -> str:
    names = model["names"] if model else None
    [first, *others] = answers
    if not others:
        text = texts.one_answer(first.image, names) if first.image else first.text
    elif all(answer.image is None and answer.text == first.text for answer in answers):
        text = first.text
    else:
        text = texts.album([answer.text for answer in answers])
    pairs = zip(answers, images, strict=True)
    if any(image.photo and answer.image and answer.image["status"] == "answered" for answer, image in pairs):
        text += f"\n\n{texts.re_encoded(model)}"
    return text
