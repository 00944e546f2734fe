"""What a message holds: an image that may be fetched, or the reason why not."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from telegram import Document, Message, MessageEntity, PhotoSize

from fakeprint.service.bot import texts
from fakeprint.service.bot.settings import BotSettings

# What Telegram calls images. Others are known by their name: some programs send all files as application/octet-stream.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic")


@dataclass(frozen=True)
class Received:
    """An image in a message, or a file that gets no answer.

    file: what Telegram hands out. name: shown to the API. photo: whether Telegram has re-encoded it. refusal: why it is
    not looked at, on one line; None where it is.
    """

    message: Message
    file: PhotoSize | Document
    name: str
    photo: bool
    refusal: str | None


def received(message: Message, settings: BotSettings) -> Received:
    """The image of a message that has a photo or a document. Of a photo's sizes it is the largest."""
    if message.photo:
        largest = max(message.photo, key=lambda size: size.width * size.height)
        return Received(message, largest, "photo.jpg", True, _too_large(largest.file_size, settings))
    document = message.document
    if document is None:
        raise ValueError("the message has neither a photo nor a document")
    refusal = _too_large(document.file_size, settings) if _is_image(document) else texts.NOT_AN_IMAGE
    return Received(message, document, (document.file_name or "image")[-255:], False, refusal)


def is_meant(message: Message, username: str) -> bool:
    """Whether the bot is asked: in a private chat always, in a group where the caption mentions it."""
    if message.chat.type == message.chat.PRIVATE:
        return True
    mentions = message.parse_caption_entities([MessageEntity.MENTION]).values()
    return f"@{username}".lower() in (mention.lower() for mention in mentions)


def _is_image(document: Document) -> bool:
    kind = document.mime_type or ""
    return kind.startswith("image/") or PurePosixPath(document.file_name or "").suffix.lower() in SUFFIXES


def _too_large(size: int | None, settings: BotSettings) -> str | None:
    too_large = size is not None and size > settings.max_file_bytes
    return texts.too_large(size or 0, settings.max_file_mib) if too_large else None
