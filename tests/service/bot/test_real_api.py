"""The bot in front of the real API."""

import time
from pathlib import Path

import pytest

from fakeprint.service.api import create_app
from fakeprint.service.bot import texts
from fakeprint.service.bot.settings import BotSettings
from fakeprint.service.client import ApiError, Client
from fakeprint.service.settings import Settings
from tests.service.bot.servers import PATIENCE, TOKEN, BotApi, command, picture, polling, served
from tests.service.running import DATASET, save_lda


@pytest.mark.slow
def test_the_bot_says_what_the_api_says(tmp_path: Path) -> None:
    save_lda(tmp_path / "models" / "lda", DATASET, "lda")
    settings = Settings(folder=tmp_path / "service", models_folder=tmp_path / "models", model="lda", workers=0)
    telegram, content = BotApi(), picture(size=40)
    with served(telegram.app()) as telegram_url, served(create_app(settings)) as api_url:
        client = Client(api_url)
        _until_ready(client)
        [expected] = client.predict([("a.png", content)], explain=True)["images"]
        with polling(BotSettings(token=TOKEN, telegram=telegram_url, api=api_url, album_seconds=0.1)):
            telegram.deliver(telegram.message(1, **telegram.document(content, "a.png", "image/png")))
            telegram.deliver(telegram.message(2, **command("/models")))
            telegram.deliver(telegram.message(3, **telegram.document(b"no image", "b.png", "image/png")))
            [answer], [models], [unreadable] = (telegram.sent(chat) for chat in (1, 2, 3))
    assert answer.text == texts.one_answer(expected, DATASET.names)
    assert "red: " in answer.text and f"No map: {expected['map_note']}" in answer.text
    assert models.text.startswith("▶ lda ")
    assert "\n\n• unibuc (trace_net) " in models.text
    assert unreadable.text.startswith("Cannot be read: ")


def _until_ready(client: Client) -> None:
    until = time.monotonic() + 3 * PATIENCE
    while True:
        try:
            client.get("/ready")
            return
        except ApiError:
            assert time.monotonic() < until
            time.sleep(0.05)
