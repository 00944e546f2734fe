"""Answers as messages: a text, a picture with a caption, or an album of pictures."""

import asyncio
import logging
import warnings
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from telegram import InputMediaPhoto, Message, ReplyParameters
from telegram.error import BadRequest, RetryAfter

from fakeprint.service.bot.answering import Reply
from fakeprint.service.bot.texts import MOST_CAPTION, MOST_TEXT, fits, shortened

LONGEST_WAIT = 60.0  # seconds that Telegram may ask to wait before one more try

T = TypeVar("T")
_log = logging.getLogger(__name__)


async def send(message: Message, reply: Reply) -> None:
    """Answer a message. A picture that Telegram does not take as a photo is sent as a file.

    Raises:
        TelegramError: it could not be sent.
    """
    options: dict[str, Any] = {
        "reply_parameters": ReplyParameters(message.message_id, allow_sending_without_reply=True)
    }
    text = shortened(reply.text, MOST_TEXT)
    caption = text if reply.pictures and fits(text, MOST_CAPTION) else None
    if caption is None:
        await _patiently(lambda: message.reply_text(text, **options))
    if len(reply.pictures) == 1:
        await _send_picture(message, reply.pictures[0], {"caption": caption, **options})
    elif reply.pictures:
        await _send_pictures(message, reply.pictures, {"caption": caption, **options})


async def _send_picture(message: Message, picture: bytes, options: dict[str, Any]) -> None:
    try:
        await _patiently(lambda: message.reply_photo(picture, filename="map.png", **options))
    except BadRequest as error:
        _log.info("a map is sent as a file: %s", error)
        await _patiently(lambda: message.reply_document(picture, filename="map.png", **options))


async def _send_pictures(message: Message, pictures: tuple[bytes, ...], options: dict[str, Any]) -> None:
    media = [InputMediaPhoto(picture, filename=f"map-{number}.png") for number, picture in enumerate(pictures, 1)]
    try:
        await _patiently(lambda: message.reply_media_group(media, **options))
    except BadRequest as error:
        _log.info("maps are left out: %s", error)
        if options["caption"] is not None:
            text = f"{options.pop('caption')}\n\nTelegram does not take the maps."
            await _patiently(lambda: message.reply_text(text, reply_parameters=options["reply_parameters"]))


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Send; where Telegram asks to wait first, wait and send once more."""
    try:
        return await call()
    except RetryAfter as error:
        seconds = _seconds(error)
        if seconds > LONGEST_WAIT:
            raise
        await asyncio.sleep(seconds)
        return await call()


def _seconds(error: RetryAfter) -> float:
    """How long Telegram asks to wait: a number or a timedelta, as the version of python-telegram-bot has it."""
    with warnings.catch_warnings(action="ignore"):
        wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
