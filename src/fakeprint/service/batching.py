"""Requests that arrive together share a forward pass: one thread computes, a few decode images beside it."""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from fakeprint.data.decode import FORMATS, Unreadable, without_warnings
from fakeprint.predict import image_of, probabilities_of, versions_of

if TYPE_CHECKING:
    from fakeprint.service.serving import Opened

T = TypeVar("T")

THREADS = min(4, os.cpu_count() or 1)  # that decode
LARGE = 4_000_000  # pixels; images above it are decoded one at a time, for each takes up to 16 bytes per pixel
AHEAD = 4  # batches of decoded images that may wait for the model


class Full(Exception):
    """So many images wait already that no more are taken."""


@dataclass
class Read:
    """One image of a request as far as it has got.

    versions: what the model takes of it. reason: why there is no image. probabilities: float64 (C,). variants: float64
    (V, C), or None.
    """

    versions: list[np.ndarray] | None = None
    reason: str | None = None
    probabilities: np.ndarray | None = None
    variants: np.ndarray | None = None


@dataclass(eq=False)
class Group:
    """The images of one request. done: is set when each has its probabilities or a reason."""

    opened: "Opened"
    contents: Sequence[bytes]
    images: list[Read] = field(default_factory=list)
    missing: int = 0
    done: "Future[list[Read]]" = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.images = [Read() for _ in self.contents]
        self.missing = len(self.contents)


class Batcher:
    """Gathers images into batches.

    Args:
        batch_size: images per forward pass, at most.
        wait_ms: how long a batch that could be larger waits for the next image that is on its way. Each that comes
            starts the time anew, up to the time that the last batch took: so those who are answered together, and ask
            again, stay together.
        most: images that may wait for an answer.
        note: called after each forward pass with its number of images and its seconds.
    """

    def __init__(
        self,
        batch_size: int,
        wait_ms: float,
        most: int,
        note: Callable[[int, float], object] = lambda images, seconds: None,
    ) -> None:
        self._batch_size, self._wait, self._most, self._note = batch_size, wait_ms / 1000, most, note
        self._changed = threading.Condition()
        self._queue: deque[tuple[Group, int]] = deque()
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._requests = 0  # that are being received
        self._arrived = 0  # requests that have begun and images that were decoded, ever
        self._took = 0.0  # seconds of the last forward pass
        self._decoding = self.waiting = 0  # images; all that have no answer yet are `waiting`
        self._closed = False
        self._one_large = threading.Lock()
        self._decoders = ThreadPoolExecutor(THREADS, "decode")
        self._thread = threading.Thread(target=self._compute, name="compute", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the batch that is computed, refuse the rest."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._decoders.shutdown(cancel_futures=True)
        self._thread.join()

    @property
    def closed(self) -> bool:
        """Whether it answers nothing any more."""
        return self._closed

    @contextlib.contextmanager
    def receiving(self) -> Iterator[None]:
        """A request is being received: a batch may wait for its images."""
        with self._changed:
            self._requests += 1
            self._arrived += 1
        try:
            yield
        finally:
            with self._changed:
                self._requests -= 1
                self._changed.notify_all()

    def predict(self, opened: "Opened", contents: Sequence[bytes]) -> Group:
        """Begin to answer image files. `cancel` the group if its answer is no longer wanted.

        Args:
            opened: the model.
            contents: of each file.

        Raises:
            Full: too many images wait.
        """
        group = Group(opened, contents)
        with self._changed:
            if self._closed or self.waiting + len(contents) > self._most:
                raise Full
            self.waiting += len(contents)
            self._decoding += len(contents)
        for place in range(len(contents)):
            self._decoders.submit(self._decode, group, place)
        if not contents:
            group.done.set_result([])
        return group

    def cancel(self, group: Group) -> None:
        """Nobody waits for this group any more: what has not begun is left out."""
        group.done.cancel()
        with self._changed:
            self._changed.notify_all()

    def aside(self, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Do other work on an image in the threads that decode."""
        return self._decoders.submit(work, *arguments)

    def compute(self, work: Callable[[], T]) -> "Future[T]":
        """Do other work with a model, between batches, in the thread that computes."""
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise Full
            self._tasks.append((work, future))
            self._changed.notify_all()
        return future

    @contextlib.contextmanager
    def large_alone(self, content: bytes) -> Iterator[None]:
        """Let one large image at a time be in work, so that memory is bounded."""
        with self._one_large if _pixels(content) > LARGE else contextlib.nullcontext():
            yield

    # --- the threads that decode

    def _decode(self, group: Group, place: int) -> None:
        read = group.images[place]
        try:
            self._wait_for_room(group)
            if not group.done.cancelled():
                self._read(group, group.contents[place], read)
        except BaseException as error:
            self._fail([group], error)
        with self._changed:
            self._decoding -= 1
            if read.versions is not None:
                self._queue.append((group, place))
                self._arrived += 1
            self._changed.notify_all()
        if read.versions is None:
            self._finish(group)

    def _read(self, group: Group, content: bytes, read: Read) -> None:
        opened = group.opened
        try:
            with self.large_alone(content):
                read.versions = versions_of(image_of(content, opened.limits), opened.model, opened.variants)
        except Unreadable as error:
            read.reason = error.reason
        except MemoryError:
            read.reason = "too large for the memory"

    def _wait_for_room(self, group: Group) -> None:
        most = AHEAD * min(self._batch_size, group.opened.batch)
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) < most or group.done.cancelled() or self._closed)
            if self._closed:
                raise CancelledError

    # --- the thread that computes

    def _compute(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._tasks or self._closed)
                if self._closed:
                    break
                batch = self._batch() if self._queue else []
                task = self._tasks.popleft() if self._tasks else None
            if batch:
                self._answer(batch)
            if task:
                _do(*task)
        for group in {id(group): group for group, _ in self._queue}.values():
            group.done.cancel()
        for _, future in self._tasks:
            future.cancel()

    def _batch(self) -> list[tuple[Group, int]]:
        """Images of one model, in the order of arrival. Called with the lock held, which waiting gives back."""
        size = min(self._batch_size, self._queue[0][0].opened.batch)
        began = latest = time.monotonic()
        arrived = self._arrived
        while len(self._queue) < size and (self._decoding or self._requests) and not self._closed:
            now = time.monotonic()
            if arrived != self._arrived:
                arrived, latest = self._arrived, now
            left = min(latest + self._wait, began + max(self._wait, self._took)) - now
            if left <= 0:
                break
            self._changed.wait(left)
        opened = self._queue[0][0].opened
        batch: list[tuple[Group, int]] = []
        while self._queue and len(batch) < size and self._queue[0][0].opened is opened:
            batch.append(self._queue.popleft())
        self._changed.notify_all()  # there is room for more
        return batch

    def _answer(self, batch: list[tuple[Group, int]]) -> None:
        wanted = [(group, group.images[place]) for group, place in batch if not group.done.cancelled()]
        dropped = [group for group, _ in batch if group.done.cancelled()]
        if wanted:
            opened = wanted[0][0].opened
            began = time.monotonic()
            try:
                versions = [read.versions or [] for _, read in wanted]
                probabilities, variants = probabilities_of(versions, opened.model, opened.variant_count)
                for row, (_, read) in enumerate(wanted):
                    read.probabilities = probabilities[row]
                    read.variants = None if variants is None else variants[row]
                    read.versions = None
            except BaseException as error:
                self._fail([group for group, _ in wanted], error)
            self._took = time.monotonic() - began
            self._note(len(wanted), self._took)
        for group in [*(group for group, _ in wanted), *dropped]:
            self._finish(group)

    def _finish(self, group: Group) -> None:
        """One more image of the group is through."""
        with self._changed:
            self.waiting -= 1
            group.missing -= 1
            is_last = not group.missing
        if is_last:
            with contextlib.suppress(InvalidStateError):  # cancelled, or failed
                group.done.set_result(group.images)

    def _fail(self, groups: Sequence[Group], error: BaseException) -> None:
        for group in groups:
            with contextlib.suppress(InvalidStateError):
                group.done.set_exception(error)


def _do(work: Callable[[], Any], future: "Future[Any]") -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


def _pixels(content: bytes) -> int:
    """As many as the file's head says; 0 where it says nothing."""
    try:
        with without_warnings(), Image.open(BytesIO(content), formats=FORMATS) as image:
            return image.width * image.height
    except Exception:  # the same error is found, and named, when it is decoded
        return 0
