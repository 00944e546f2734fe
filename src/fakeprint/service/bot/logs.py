"""The bot's log, which no secret gets into: Telegram's addresses contain the token, and so do messages about them."""

import logging
from collections.abc import Iterable
from urllib.parse import quote

from telegram.error import TelegramError

HIDDEN = "[hidden]"


def without(secrets: Iterable[str], text: str) -> str:
    """The text with each secret replaced, also where it is escaped as in an address, and a token without its number."""
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), secret.partition(":")[2]) if form}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


class Formatter(logging.Formatter):
    """Formats records as a time, a level and a message, and hides secrets wherever they stand, tracebacks included.

    An error of Telegram's or of the network to it is one line: its traceback says nothing more.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = list(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, TelegramError):
            record = logging.makeLogRecord({**vars(record), "exc_info": None, "exc_text": None})
            record.msg, record.args = f"{record.getMessage()} {type(error).__name__}: {error}", None
        return without(self._secrets, super().format(record))


def set_up(secrets: Iterable[str]) -> None:
    """Log to stderr from the level INFO on. httpx, which logs the address of each request there, from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in ("httpx", "httpcore", "telegram", "tornado.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
