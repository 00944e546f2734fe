"""The settings of the bot: environment variables, or lines of a file `.env`. FAKEPRINT_BOT_TOKEN, for example."""

import secrets
import string
from typing import Annotated

import limits
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fakeprint.errors import InputError

PREFIX = "FAKEPRINT_BOT_"
HTTP = r"^https?://[^\s/]+"
OF_SECRETS = string.ascii_letters + string.digits + "_-"  # what Telegram allows in the secret of a webhook


class BotSettings(BaseSettings):
    """Settings of the bot. docs/service.md shows them as a table."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,  # compose.yaml passes what is not set as an empty text
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    token: SecretStr = Field(description="the bot's token, from @BotFather; by environment only")
    api: str = Field("http://127.0.0.1:8000", pattern=HTTP, description="address of the API")
    api_key: SecretStr | None = Field(None, description="an API key of scope predict, where the API requires one")
    api_seconds: PositiveFloat = Field(60.0, description="how long to wait for the API's answer")

    chats: Annotated[tuple[int, ...], NoDecode] = Field(
        (), description="numbers of the chats that are answered, comma-separated; empty: all"
    )
    rate: str = Field("20/minute", description="images per chat")
    max_file_mib: Annotated[float, Field(gt=0, le=20)] = Field(
        20.0, description="size of one file; bots cannot fetch more than 20 MiB"
    )
    at_once: PositiveInt = Field(4, description="images that are in memory and with the API at the same time")
    album_seconds: PositiveFloat = Field(1.0, description="an album is complete when nothing more came for so long")
    explain: bool = Field(True, description="whether answers come with the explanation map")

    webhook: str | None = Field(
        None, pattern=r"^https://[^\s/]+", description="public address for Telegram's calls; unset: long polling"
    )
    webhook_host: str = Field("127.0.0.1", description="address to listen on for them")
    webhook_port: Annotated[int, Field(ge=0, le=65535)] = Field(8443, description="port to listen on for them")
    webhook_secret: SecretStr = Field(
        default_factory=lambda: SecretStr(secrets.token_urlsafe(32)),
        description="what each of Telegram's calls must carry; unset: a new one at each start",
    )
    telegram: str = Field("https://api.telegram.org", pattern=HTTP, description="address of the Bot API server")

    @field_validator("token")
    @classmethod
    def _is_token(cls, token: SecretStr) -> SecretStr:
        number, colon, rest = token.get_secret_value().partition(":")
        if not (colon and number.isdecimal() and rest and set(rest) <= set(OF_SECRETS)):
            raise ValueError("is not a token; @BotFather on Telegram gives one, as NUMBER:LETTERS")
        return token

    @field_validator("chats", mode="before")
    @classmethod
    def _numbers(cls, chats: object) -> object:
        return [part for part in chats.replace(",", " ").split() if part] if isinstance(chats, str) else chats

    @field_validator("rate")
    @classmethod
    def _is_rate(cls, rate: str) -> str:
        try:
            limits.parse(rate)
        except ValueError:
            raise ValueError("is not a rate; write it as 20/minute or 200/hour") from None
        return rate

    @field_validator("webhook_secret")
    @classmethod
    def _secret_fits(cls, secret: SecretStr) -> SecretStr:
        if not 1 <= len(secret.get_secret_value()) <= 256 or set(secret.get_secret_value()) - set(OF_SECRETS):
            raise ValueError("takes 1 to 256 letters, digits, _ and -")
        return secret

    @property
    def max_file_bytes(self) -> int:
        """`max_file_mib` in bytes."""
        return int(self.max_file_mib * 2**20)

    @property
    def hidden(self) -> list[str]:
        """What no log and no message may show."""
        found = (self.token, self.api_key, self.webhook_secret)
        return [secret.get_secret_value() for secret in found if secret is not None and secret.get_secret_value()]


def load() -> BotSettings:
    """The settings of the environment.

    Raises:
        InputError: one is missing or cannot be used. The message shows no value, since it may be a secret.
    """
    try:
        return BotSettings()  # type: ignore[call-arg]  # the token comes from the environment
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + str(first["loc"][0]).upper() if first["loc"] else PREFIX.rstrip("_")
        if first["type"] == "missing":
            raise InputError(f"{name} is not set; @BotFather on Telegram gives a bot's token") from None
        raise InputError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None
