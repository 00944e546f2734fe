"""Which images share a forward pass, by a clock that the test moves."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakeprint.evidence.inspection import Inspection
from fakeprint.service import batching
from fakeprint.service.answers import Requested, answer
from fakeprint.service.batching import Batcher
from fakeprint.service.opened import Opened, Reference, open_model
from fakeprint.service.problems import ServiceError
from fakeprint.service.settings import Settings
from tests.service.fits import until
from tests.service.running import encoded, models_folder, pictures

__all__ = ["models_folder"]  # a fixture

WAIT, LAST_PASS = 5.0, 20.0  # seconds


class Place:
    """A batcher whose last pass took `LAST_PASS`. now: what its clock shows. sizes: of its batches so far."""

    def __init__(self, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.sizes, self.opened = 0.0, list[int](), opened
        monkeypatch.setattr(batching, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.batcher = Batcher(32, 1000 * WAIT, 100, lambda images, _: self.sizes.append(images))
        self.batcher._took = LAST_PASS

    def image_at(self, now: float) -> batching.Group:
        """One more image that is decoded at this time, and seen by the thread that computes: it waits again."""
        group = self.image_while_busy(now)
        until(lambda: bool(vars(self.batcher._changed)["_waiters"]))  # else its clock would begin with a later image
        return group

    def image_while_busy(self, now: float) -> batching.Group:
        """One more image that is decoded at this time."""
        arrived = self.batcher._arrived
        self.now = now
        group = self.batcher.predict(self.opened, [encoded(pictures(1)[0][0])])
        until(lambda: self.batcher._arrived > arrived)
        return group

    def look_at(self, now: float) -> None:
        """Have the thread that computes look at the clock."""
        with self.batcher._changed:
            self.now = now
            self.batcher._changed.notify_all()


@pytest.fixture
def place(models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    opened = open_model(Reference("folder", "lda"), Settings(folder=tmp_path, models_folder=models_folder))
    made = Place(opened, monkeypatch)
    yield made
    made.batcher.close()


@pytest.mark.slow
def test_each_image_that_comes_is_waited_for_anew(place: Place) -> None:
    with place.batcher.receiving():
        groups = [place.image_at(0.0), place.image_at(4.0)]
        place.look_at(8.0)  # more than `WAIT` after the first, less after the second
        groups.append(place.image_at(8.5))
    assert [len(group.done.result(60)) for group in groups] == [1, 1, 1]
    assert place.sizes == [3]


@pytest.mark.slow
def test_a_batch_waits_no_longer_than_the_last_one_took(place: Place) -> None:
    with place.batcher.receiving():
        groups = [place.image_at(now) for now in (0.0, 4.0, 8.0, 12.0, 16.0)]
        assert place.sizes == []
        place.look_at(LAST_PASS)  # 4 after the last image
        assert [len(group.done.result(60)) for group in groups] == [1] * 5
    assert place.sizes == [5]


def test_nothing_is_waited_for_where_nothing_is_on_its_way(place: Place) -> None:
    assert len(place.image_at(0.0).done.result(60)) == 1  # the clock stands still: it would wait for ever
    assert place.sizes == [1]


@pytest.mark.slow
def test_images_that_come_while_the_model_is_busy_are_the_next_batch(place: Place) -> None:
    busy, go_on = threading.Event(), threading.Event()
    task = place.batcher.compute(lambda: busy.set() or go_on.wait(60))
    assert busy.wait(60)
    groups = [place.image_while_busy(0.0) for _ in range(6)]
    go_on.set()
    assert task.result(60)
    assert [len(group.done.result(60)) for group in groups] == [1] * 6
    assert place.sizes == [6]


def test_those_who_wait_while_the_service_stops_are_answered_so(place: Place) -> None:
    busy, go_on = threading.Event(), threading.Event()
    place.batcher.compute(lambda: busy.set() or go_on.wait(60))
    assert busy.wait(60)

    async def stopped() -> None:
        arrived = place.batcher._arrived
        requested = Requested([("a.png", encoded(pictures(1)[0][0]))])
        waiting = asyncio.create_task(answer(requested, place.opened, place.batcher, Inspection(None)))
        await asyncio.to_thread(until, lambda: place.batcher._arrived > arrived)
        closing = asyncio.create_task(asyncio.to_thread(place.batcher.close))
        await asyncio.to_thread(until, lambda: place.batcher.closed)
        go_on.set()
        with pytest.raises(ServiceError, match="the service is about to stop; try again soon"):
            await waiting
        await closing

    asyncio.run(stopped())
