"""The log of a job in pieces: no character is cut, whatever the pieces and however far the job has come."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fakeprint.service.routes import jobs
from fakeprint.service.tables import StoredJob, now, writing

Api = Callable[..., TestClient]
JOB = "a" * 32
TEXT = "épöche 1: Δ = 3 €, 𝄞 ✓\nzwölf\n" * 3


@pytest.fixture
def client(api: Api) -> TestClient:
    return api()


def has(client: TestClient, folder: Path, content: bytes, state: str = "running") -> None:
    """Give the job this log."""
    about: dict[str, Any] = {"request_digest": "", "dataset": "d", "preset": "demo", "parameters": {}, "result": {}}
    with writing(client.app.state.engine) as session:  # type: ignore[attr-defined]
        session.merge(StoredJob(id=JOB, state=state, created=now(), progress={}, **about))
    log = folder / "jobs" / JOB / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(content)


def piece(client: TestClient, **where: int) -> tuple[str, int]:
    """A part of the log, and where to go on."""
    response = client.get(f"/jobs/{JOB}/log", params=where)
    assert response.status_code == 200, response.text
    return response.text, int(response.headers["X-Next-Offset"])


@pytest.mark.slow
@pytest.mark.parametrize("length", [4, 5, 7, 1000])
@pytest.mark.parametrize("state", ["running", "succeeded"])
def test_pieces_of_any_length_make_the_log(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, state: str
) -> None:
    monkeypatch.setattr(jobs, "LONGEST_PIECE", length)
    has(client, tmp_path, TEXT.encode(), state)
    read, offset, size = "", 0, len(TEXT.encode())
    while offset < size:
        text, following = piece(client, offset=offset)
        assert following > offset
        assert len(text.encode()) == following - offset
        read, offset = read + text, following
    assert read == TEXT
    assert piece(client, offset=size) == ("", size)


@pytest.mark.slow
def test_a_character_that_is_being_written_comes_with_the_next_piece(client: TestClient, tmp_path: Path) -> None:
    written = "50 €".encode()
    has(client, tmp_path, written[:-1])
    assert piece(client, offset=0) == ("50 ", 3)
    assert piece(client, offset=3) == ("", 3)
    assert piece(client, tail=1) == ("50 ", 3)
    has(client, tmp_path, written)
    assert piece(client, offset=3) == ("€", 6)


@pytest.mark.slow
def test_bytes_that_are_no_text_hold_nothing_up(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(client, tmp_path, b"50 \xe2\x82", "failed")  # the rest of the character will never come
    assert piece(client, offset=0) == ("50 \ufffd", 5)
    monkeypatch.setattr(jobs, "LONGEST_PIECE", 4)
    has(client, tmp_path, b"\xf0\x90\xff\xe2\x82\x82\x82\xf0\xf0\xf0\xf0 end")
    read, offset = "", 0
    while not read.endswith("end"):
        text, following = piece(client, offset=offset)
        assert following > offset
        read, offset = read + text, following


@pytest.mark.slow
def test_the_last_lines_of_a_long_log_begin_with_a_whole_character(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(client, tmp_path, "€€\nzwölf\n".encode())
    for length, first in ((14, "€€\n"), (13, "€\n"), (12, "€\n"), (11, "€\n"), (10, "\n"), (7, "")):
        monkeypatch.setattr(jobs, "LONGEST_PIECE", length)
        assert piece(client, tail=5) == (f"{first}zwölf\n", 14)
    assert piece(client, tail=1) == ("zwölf\n", 14)
