"""`fakeprint bot` as a process: how it starts, stops and refuses to, and that it never shows a secret."""

import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from telegram.error import InvalidToken

from fakeprint.errors import InputError
from fakeprint.service.bot import logs
from fakeprint.service.bot.settings import BotSettings, load
from tests.service.bot.servers import PATIENCE, TOKEN, Api, BotApi, command, picture, served

SECRET = TOKEN.partition(":")[2]


def settings(telegram: str, api: str, **more: str) -> dict[str, str]:
    """The environment of a bot."""
    given = {"TOKEN": TOKEN, "TELEGRAM": telegram, "API": api, "API_KEY": "fp_secret", **more}
    return os.environ | {f"FAKEPRINT_BOT_{name}": value for name, value in given.items()}


@contextmanager
def started(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "fakeprint", "bot"], cwd=folder, env=environment, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def refused(folder: Path, environment: dict[str, str]) -> str:
    """What a bot that does not start prints."""
    done = subprocess.run(
        [sys.executable, "-m", "fakeprint", "bot"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture
def servers() -> Iterator[tuple[BotApi, str, Api, str]]:
    telegram, api = BotApi(), Api()
    with served(telegram.app()) as telegram_url, served(api.app()) as api_url:
        yield telegram, telegram_url, api, api_url


@pytest.mark.slow
def test_who_waits_is_answered_before_the_bot_stops(tmp_path: Path, servers: tuple[BotApi, str, Api, str]) -> None:
    telegram, telegram_url, api, api_url = servers
    api.seconds = 1.0
    with started(tmp_path, settings(telegram_url, api_url)) as process:
        telegram.deliver(telegram.message(1, **telegram.document(picture(), "a.png", "image/png")))
        until = time.monotonic() + PATIENCE
        while not api.asked and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    [answer] = telegram.sent(1)
    assert answer.text.startswith("blue generator (97.1 %)")
    log = (tmp_path / "log").read_text()
    assert "signed in as @fakeprint_bot" in log
    assert "answered 1 image" in log
    assert SECRET not in log
    assert "fp_secret" not in log
    assert [path.name for path in tmp_path.iterdir()] == ["log"]  # nothing is kept


@pytest.mark.slow
def test_telegram_calls_a_webhook_with_its_secret(tmp_path: Path, servers: tuple[BotApi, str, Api, str]) -> None:
    telegram, telegram_url, _, api_url = servers
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = {"WEBHOOK": "https://bot.example", "WEBHOOK_PORT": str(port), "WEBHOOK_SECRET": "a-secret"}
    with started(tmp_path, settings(telegram_url, api_url, **more)) as process:
        with telegram.heard:
            telegram.heard.wait_for(lambda: any(call.method == "setWebhook" for call in telegram.calls), PATIENCE)
        [hook] = [call.parameters for call in telegram.calls if call.method == "setWebhook"]
        assert (hook["url"], hook["secret_token"]) == ("https://bot.example/telegram", "a-secret")
        assert hook["allowed_updates"] == ["message"]
        statuses = []
        for chat, secret in enumerate(("wrong", None, "a-secret")):
            body = telegram.update(telegram.message(chat, **command("/help")))
            statuses.append(_post(port, "/telegram", body, secret))
        assert statuses == [403, 403, 200]
        telegram.sent(2)
        assert not [call for call in telegram.calls if call.parameters.get("chat_id") in ("0", "1")]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    log = (tmp_path / "log").read_text()
    assert SECRET not in log
    assert "a-secret" not in log


def _post(port: int, path: str, body: str, secret: str | None) -> int:
    until = time.monotonic() + PATIENCE
    headers = {"Content-Type": "application/json", **({"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {})}
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("POST", path, body, headers)
            return connection.getresponse().status
        except ConnectionRefusedError:  # not listening yet
            assert time.monotonic() < until
            time.sleep(0.05)
        finally:
            connection.close()


@pytest.mark.slow
def test_telegram_refuses_the_token(tmp_path: Path, servers: tuple[BotApi, str, Api, str]) -> None:
    _, telegram_url, _, api_url = servers
    environment = settings(telegram_url, api_url, TOKEN=f"4201:{SECRET}")
    assert refused(tmp_path, environment) == (
        f"error: FAKEPRINT_BOT_TOKEN is refused by {telegram_url}; set it to the token that @BotFather shows"
    )


@pytest.mark.slow
def test_the_webhooks_port_is_taken(tmp_path: Path, servers: tuple[BotApi, str, Api, str]) -> None:
    _, telegram_url, _, api_url = servers
    port = api_url.rpartition(":")[2]
    environment = settings(telegram_url, api_url, WEBHOOK="https://bot.example", WEBHOOK_PORT=port)
    assert refused(tmp_path, environment) == (
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use; set FAKEPRINT_BOT_WEBHOOK_PORT"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TOKEN", None, "FAKEPRINT_BOT_TOKEN is not set; @BotFather on Telegram gives a bot's token"),
        (
            "TOKEN",
            SECRET,
            "FAKEPRINT_BOT_TOKEN: is not a token; @BotFather on Telegram gives one, as NUMBER:LETTERS",
        ),
        ("RATE", "many", "FAKEPRINT_BOT_RATE: is not a rate; write it as 20/minute or 200/hour"),
        ("MAX_FILE_MIB", "21", "FAKEPRINT_BOT_MAX_FILE_MIB: Input should be less than or equal to 20"),
        (
            "CHATS",
            "me",
            "FAKEPRINT_BOT_CHATS: Input should be a valid integer, unable to parse string as an integer",
        ),
        ("WEBHOOK", "http://a.b", "FAKEPRINT_BOT_WEBHOOK: String should match pattern '^https://[^\\s/]+'"),
        ("WEBHOOK_SECRET", "a b", "FAKEPRINT_BOT_WEBHOOK_SECRET: takes 1 to 256 letters, digits, _ and -"),
    ],
)
def test_settings_that_cannot_be_used(
    name: str, value: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKEPRINT_BOT_TOKEN", TOKEN)
    if value is None:
        monkeypatch.delenv(f"FAKEPRINT_BOT_{name}")
    else:
        monkeypatch.setenv(f"FAKEPRINT_BOT_{name}", value)
    with pytest.raises(InputError) as error:
        load()
    assert str(error.value) == message


def test_chats_are_numbers_separated_by_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKEPRINT_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("FAKEPRINT_BOT_CHATS", "12, -1003")
    assert load().chats == (12, -1003)
    assert TOKEN not in repr(load())


def test_no_log_shows_a_secret() -> None:
    formatter = logs.Formatter([TOKEN, "fp_secret"])
    try:
        raise ValueError(f"https://api.telegram.org/bot{TOKEN.replace(':', '%3A')}/getMe with fp_secret")
    except ValueError as error:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "at %s:", (f"bot{TOKEN}",), (type(error), error, None))
    shown = formatter.format(record)
    assert shown.endswith("at bot[hidden]:\nValueError: https://api.telegram.org/bot[hidden]/getMe with [hidden]")
    error = InvalidToken(f"The token `{TOKEN}` was rejected by the server.")
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "stopped:", (), (type(error), error, None))
    assert formatter.format(record).endswith("stopped: InvalidToken: The token `[hidden]` was rejected by the server.")


def test_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "telegram").mkdir()
    (tmp_path / "telegram" / "__init__.py").write_text("raise ModuleNotFoundError(name='telegram')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"}
    assert refused(tmp_path, environment) == "error: bot: telegram is not installed; pip install 'fakeprint[bot]'"


def test_the_docs_name_every_setting() -> None:
    text = (Path(__file__).parents[3] / "docs" / "service.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `FAKEPRINT_BOT_")]
    assert listed == [f"FAKEPRINT_BOT_{name.upper()}" for name in BotSettings.model_fields]
