"""One bot for all tests of a module, between two servers on this machine. Each test has a chat of its own."""

import itertools
from collections.abc import Iterator

import pytest

from fakeprint.service.bot.settings import BotSettings
from tests.service.bot.servers import TOKEN, Api, BotApi, polling, served

_chats = itertools.count(1001)


@pytest.fixture(scope="session")
def telegram() -> Iterator[BotApi]:
    server = BotApi()
    with served(server.app()) as server.url:
        yield server


@pytest.fixture(scope="session")
def serving() -> Iterator[Api]:
    server = Api()
    with served(server.app()) as server.url:
        yield server


@pytest.fixture(scope="session")
def bot(telegram: BotApi, serving: Api) -> Iterator[None]:
    """The real application."""
    settings = BotSettings(
        token=TOKEN, telegram=telegram.url, api=serving.url, api_key="fp_secret", rate="12/minute", album_seconds=0.3
    )
    with polling(settings):
        yield


@pytest.fixture
def api(serving: Api, bot: None) -> Iterator[Api]:
    """The API, as it was after each test."""
    before = {key: value for key, value in vars(serving).items() if key != "asked"}
    serving.asked.clear()
    yield serving
    vars(serving).update(before)


@pytest.fixture
def chat() -> int:
    return next(_chats)
