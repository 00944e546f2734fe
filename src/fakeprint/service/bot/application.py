"""The bot as an application of python-telegram-bot: which message is answered how, and how it runs."""

import contextlib
import logging
from typing import Any

from telegram import BotCommand, Message, Update
from telegram.constants import ChatAction
from telegram.error import InvalidToken, TelegramError
from telegram.ext import Application, CommandHandler, ContextTypes, MessageHandler, filters

from fakeprint.errors import InputError
from fakeprint.service.bot import logs, texts
from fakeprint.service.bot.albums import Albums
from fakeprint.service.bot.answering import Answering, Reply
from fakeprint.service.bot.rates import Rates
from fakeprint.service.bot.received import is_meant, received
from fakeprint.service.bot.sending import send
from fakeprint.service.bot.settings import PREFIX, BotSettings

UPDATES = ["message"]  # edited messages, channels and all else are not asked for
PATH = "telegram"  # below the webhook's address
RETRIES = 3  # at the start; later the connection is tried again for as long as the bot runs

_log = logging.getLogger(__name__)


class Handlers:
    """Answers messages."""

    def __init__(self, settings: BotSettings) -> None:
        self._settings = settings
        self._answering = Answering(settings)
        self._albums = Albums(settings.album_seconds)
        self._rates = Rates(settings.rate)

    def add_to(self, application: "Application[Any, Any, Any, Any, Any, Any]") -> None:
        """Register the handlers; the first that fits a message gets it."""
        message = filters.UpdateType.MESSAGE
        private = message & filters.ChatType.PRIVATE
        application.add_handler(CommandHandler(["start", "help"], self.help, message))
        application.add_handler(CommandHandler("models", self.models, message))
        application.add_handler(MessageHandler(message & (filters.PHOTO | filters.Document.ALL), self.images))
        application.add_handler(MessageHandler(private & (filters.TEXT | filters.COMMAND), self.help))
        application.add_handler(MessageHandler(private & ~filters.StatusUpdate.ALL, self.other))
        application.add_error_handler(self.failed)

    async def help(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """/start, /help, and text that is no command."""
        message = _message(update)
        if await self._admits(message):
            await send(message, Reply(texts.help_text(self._settings.rate, self._settings.max_file_mib)))

    async def models(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """/models."""
        message = _message(update)
        if await self._admits(message):
            await send(message, await self._answering.models())

    async def images(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """A photo, a file, or an album of them."""
        images = await self._albums.whole(received(_message(update), self._settings))
        if images is None or not any(is_meant(image.message, context.bot.username) for image in images):
            return
        message = images[0].message
        if not await self._admits(message, len(images)):
            return
        with contextlib.suppress(TelegramError):
            await message.chat.send_action(ChatAction.TYPING)
        await send(message, await self._answering.answer(images))
        _log.info("answered %d image%s", len(images), "s" * (len(images) > 1))

    async def other(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """A video, a sticker, a voice message: nothing to look at."""
        message = _message(update)
        if await self._admits(message):
            await send(message, Reply(texts.NOT_AN_IMAGE))

    async def failed(self, update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
        """An error that nobody has caught: log it, and tell the person who waits."""
        known = isinstance(context.error, TelegramError)
        _log.log(logging.WARNING if known else logging.ERROR, "not answered:", exc_info=context.error)
        if isinstance(update, Update) and update.message and not known:
            with contextlib.suppress(TelegramError):
                await send(update.message, Reply(texts.BROKEN))

    async def _admits(self, message: Message, images: int = 1) -> bool:
        """Whether the chat is answered, and within its limit, where a message without an image counts as one.

        A refusal is one line, and only once in a while: a chat that floods the bot gets no flood in return.
        """
        if self._settings.chats and message.chat_id not in self._settings.chats:
            refusal = texts.PRIVATE
        elif not self._rates.admits(message.chat_id, images):
            refusal = texts.too_many(self._settings.rate)
        else:
            return True
        if self._rates.is_first_refusal(message.chat_id):
            await send(message, Reply(refusal))
        return False


def build(settings: BotSettings) -> "Application[Any, Any, Any, Any, Any, Any]":
    """The application, not yet connected."""
    application = (
        Application.builder()
        .token(settings.token.get_secret_value())
        .base_url(f"{settings.telegram.rstrip('/')}/bot")
        .base_file_url(f"{settings.telegram.rstrip('/')}/file/bot")
        .concurrent_updates(True)  # a slow answer to one chat does not hold up the others
        .post_init(_introduce)
        .build()
    )
    Handlers(settings).add_to(application)
    return application


def run(settings: BotSettings) -> None:
    """Answer messages until SIGINT or SIGTERM; those that have come by then are answered first.

    Raises:
        InputError: Telegram refuses the token or cannot be reached, or the webhook's port is taken.
    """
    logs.set_up(settings.hidden)
    application = build(settings)
    _log.info("the API is expected at %s", settings.api)
    try:
        if settings.webhook:
            application.run_webhook(
                listen=settings.webhook_host,
                port=settings.webhook_port,
                url_path=PATH,
                webhook_url=f"{settings.webhook.rstrip('/')}/{PATH}",
                secret_token=settings.webhook_secret.get_secret_value(),
                allowed_updates=UPDATES,
                bootstrap_retries=RETRIES,
            )
        else:
            application.run_polling(allowed_updates=UPDATES, bootstrap_retries=RETRIES)
    except InvalidToken:
        raise InputError(
            f"{PREFIX}TOKEN is refused by {settings.telegram}; set it to the token that @BotFather shows"
        ) from None
    except TelegramError as error:
        reason = logs.without(settings.hidden, str(error))
        raise InputError(f"{settings.telegram} cannot be reached: {reason}") from None
    except OSError as error:
        address = f"{settings.webhook_host}:{settings.webhook_port}"
        raise InputError(f"cannot listen on {address}: {error.strerror}; set {PREFIX}WEBHOOK_PORT") from None


async def _introduce(application: "Application[Any, Any, Any, Any, Any, Any]") -> None:
    """Say in the log who the bot is, and set the commands of its menu."""
    _log.info("signed in as @%s", application.bot.username)
    commands = [BotCommand("help", "what I do"), BotCommand("models", "the models and their accuracy")]
    try:
        await application.bot.set_my_commands(commands)
    except TelegramError as error:
        _log.warning("the menu of commands could not be set:", exc_info=error)


def _message(update: Update) -> Message:
    if update.message is None:
        raise ValueError("the update has no message")
    return update.message
