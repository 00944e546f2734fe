"""The model that serves: chosen by the row `serving` of the database, which every replica follows."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from sqlalchemy import Engine, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from fakeprint.errors import InputError
from fakeprint.service.opened import Opened, Reference, open_model, preferred
from fakeprint.service.problems import ServiceError
from fakeprint.service.settings import Settings
from fakeprint.service.tables import ServingModel, now

log = logging.getLogger("fakeprint.service")

POLL = 1.0  # seconds between two looks at the row
RETRY = 30.0  # seconds until a model that could not be loaded is tried again
ROW = 1


class Serving:
    """Which model answers, here and in every replica.

    The row `serving` is the truth: `set` writes it, `follow` reads it. Without a row, which is revision 0, the setting
    `model` decides. A request keeps the `Opened` that it began with, so that a change disturbs none.

    opened: the model that answers; None until the first is warm. revision: of the row that it comes from. problem: why
    it is not the one that the row names, on one line.
    """

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings, self._engine = settings, engine
        self._one_at_a_time = asyncio.Lock()
        self._failed: tuple[int, float] | None = None  # revision that could not be loaded, and when
        self.opened: Opened | None = None
        self.revision = 0
        self.problem: str | None = None

    @property
    def ready(self) -> Opened:
        """The model that answers. Raises ServiceError (503) until there is one."""
        if self.opened is None:
            raise ServiceError(503, self.problem or "the model is being loaded; try again soon", {"Retry-After": "2"})
        return self.opened

    async def latest_revision(self) -> int:
        """The row's revision, which another replica may have changed, or which cannot be loaded here."""
        return (await asyncio.to_thread(self._row))[1]

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the row inside the context."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def set(self, reference: Reference, expected: int | None) -> tuple[Opened, int]:
        """Load and warm a model, write it into the row, and let it serve from the next request on.

        Args:
            reference: the model.
            expected: the revision that the row must have; None for whatever it has.

        Returns:
            The model and the new revision.

        Raises:
            InputError: the model cannot be loaded. The one that serves goes on.
            ServiceError: 409, the row has another revision than expected, or got one meanwhile.
        """
        async with self._one_at_a_time:
            _, revision = await asyncio.to_thread(self._row)
            _compare(expected, revision)
            opened = await asyncio.to_thread(open_model, reference, self._settings)
            while not await asyncio.to_thread(self._write, reference, revision):
                _, revision = await asyncio.to_thread(self._row)
                _compare(expected, revision)
            self._swap(opened, revision + 1)
            return opened, revision + 1

    async def _follow(self) -> None:
        fault = ""  # that was logged: one that lasts is logged once
        while True:
            try:
                await self._look()
                fault = ""
            except SQLAlchemyError as error:
                message = f"the database does not answer: {type(error).__name__}"
                if message != fault:
                    log.error(message)
                fault = message
            except Exception as error:
                message = f"the serving model could not be looked up: {type(error).__name__}"
                if message != fault:
                    log.exception(message)
                fault = message
            await asyncio.sleep(POLL)

    async def _look(self) -> None:
        """Take the row's model if another one serves."""
        async with self._one_at_a_time:
            reference, revision = await asyncio.to_thread(self._row)
            if self.opened is not None and revision == self.revision:
                return
            if self._failed and self._failed[0] == revision and time.monotonic() - self._failed[1] < RETRY:
                return
            try:
                wanted = reference or preferred(self._settings)
                self._swap(await asyncio.to_thread(open_model, wanted, self._settings), revision)
            except InputError as error:
                await self._fall_back(reference, revision, str(error))

    async def _fall_back(self, reference: Reference | None, revision: int, reason: str) -> None:
        """The row's model cannot be loaded: say so, and serve another where none serves."""
        if self._failed and self._failed[0] == revision:  # logged before
            self._failed = (revision, time.monotonic())
            return
        self._failed = (revision, time.monotonic())
        problem = f"the model that was set ({reference}, revision {revision}) cannot be loaded: {reason}"
        if reference is None:
            self.problem = reason
            log.error(reason)
            return
        if self.opened is None:
            try:
                self.opened = await asyncio.to_thread(open_model, preferred(self._settings), self._settings)
                self.revision = -1  # so that the row's is taken when it can be loaded
            except InputError as error:
                self.problem = f"{problem}; nor can the default: {error}"
                log.error(self.problem)
                return
        self.problem = f"{problem}; {self.opened.reference} serves instead"
        log.error(self.problem)

    def _swap(self, opened: Opened, revision: int) -> None:
        self.opened, self.revision, self.problem, self._failed = opened, revision, None, None
        log.info("%s serves (revision %d)", opened.reference, revision)

    def _row(self) -> tuple[Reference | None, int]:
        with Session(self._engine) as session:
            row = session.get(ServingModel, ROW)
            return (Reference(**row.reference), row.revision) if row else (None, 0)

    def _write(self, reference: Reference, seen: int) -> bool:
        """Write the row if it still has the revision that was seen. Returns whether it had."""
        content = {"source": reference.source, "name": reference.name, "version": reference.version}
        with Session(self._engine) as session:
            if seen == 0:
                session.add(ServingModel(id=ROW, reference=content, revision=1, changed=now()))
                try:
                    session.commit()
                except IntegrityError:
                    return False
                return True
            statement = update(ServingModel).where(ServingModel.id == ROW, ServingModel.revision == seen)
            changed = session.execute(statement.values(reference=content, revision=seen + 1, changed=now()))
            session.commit()
            return bool(changed.rowcount)  # type: ignore[attr-defined]


def _compare(expected: int | None, revision: int) -> None:
    if expected is not None and expected != revision:
        raise ServiceError(
            409, f"the serving model is at revision {revision}, not {expected}: look at it again with GET /models"
        )
