"""Folders of uploads are made and removed beside the event loop, whatever happens to the request."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fakeprint.files import temporary_folder
from fakeprint.service import threads
from fakeprint.service.threads import finished, folder_in
from tests.service.images import class_folders, files_below, zip_of

Api = Callable[..., TestClient]
SLOW = 0.3  # seconds that a folder takes to be made, and to be removed


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def slow_folder(parent: Path) -> Iterator[Path]:
        with temporary_folder(parent) as folder:
            time.sleep(SLOW)
            yield folder
            time.sleep(SLOW)

    monkeypatch.setattr(threads, "temporary_folder", slow_folder)


@pytest.mark.slow
def test_the_event_loop_goes_on_while_a_folder_is_made_and_removed(tmp_path: Path, slow: None) -> None:
    async def longest_pause() -> float:
        pauses = [0.0]

        async def tick() -> None:
            while True:
                begun = time.monotonic()
                await asyncio.sleep(0.01)
                pauses.append(time.monotonic() - begun)

        ticking = asyncio.create_task(tick())
        async with folder_in(tmp_path) as folder:
            (folder / "file").touch()
        ticking.cancel()
        return max(pauses)

    assert asyncio.run(longest_pause()) < SLOW
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.5, 2.5])  # while it is made; while it is removed
def test_a_request_that_is_cancelled_leaves_no_folder(tmp_path: Path, slow: None, after: float) -> None:
    seen = []

    async def request() -> None:
        async with folder_in(tmp_path) as folder:
            seen.append(folder)
            await asyncio.sleep(SLOW)

    async def cancelled() -> None:
        task = asyncio.create_task(request())
        await asyncio.sleep(after * SLOW)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # as whoever is in a hurry does
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(tmp_path.iterdir()) == []

    asyncio.run(cancelled())
    assert bool(seen) == (after > 1)


@pytest.mark.slow
def test_work_ends_before_the_request_that_is_cancelled_does() -> None:
    begun, ended = threading.Event(), []

    def work(word: str) -> str:
        begun.set()
        time.sleep(0.2)
        ended.append(word)
        return word

    async def cancelled() -> None:
        task = asyncio.create_task(finished(work, "done"))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["done"]

    asyncio.run(cancelled())
    assert asyncio.run(finished(work, "again")) == "again"

    def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(finished(fails))


def test_uploads_make_and_remove_their_folders_in_threads(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_loop = []

    def note() -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            in_loop.append(False)
        else:
            in_loop.append(True)

    @contextmanager
    def noted(parent: Path) -> Iterator[Path]:
        note()
        with temporary_folder(parent) as folder:
            yield folder
            note()

    monkeypatch.setattr(threads, "temporary_folder", noted)
    client = api()
    sent = client.post("/datasets", files={"archive": ("a.zip", zip_of(class_folders(2)))})
    assert sent.status_code == 201, sent.text
    assert in_loop == [False, False]
    assert client.post("/datasets", files={"archive": ("a.zip", b"no archive")}).status_code == 422
    assert files_below(tmp_path / "uploads") == set()
