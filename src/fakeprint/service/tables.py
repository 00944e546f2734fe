"""What the service remembers, in SQLite by default and in Postgres by URL: keys, data sets, jobs, the serving model."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar

from filelock import FileLock
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Engine,
    Float,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from fakeprint.errors import InputError, printable
from fakeprint.service.settings import Settings

LOCK = 0x66616B6570  # of Postgres, that all writers of the service take: any number that is only ours


class Base(DeclarativeBase):
    """All tables."""


Row = TypeVar("Row", bound=Base)


class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite forgets the zone of what it stores."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time with its zone."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Key(Base):
    """An API key. Only its hash is stored. scopes: comma-separated, of predict, fit, admin."""

    __tablename__ = "keys"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(Moment)


class StoredDataset(Base):
    """A data set that was sent. Its files are in `folder`/datasets/`id`."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str | None] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    digest: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    images: Mapped[int] = mapped_column(Integer)
    classes: Mapped[dict] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(Moment)
    profile: Mapped[dict | None] = mapped_column(JSON)


class StoredJob(Base):
    """A fit. A worker holds it by a lease that it renews; after `lease_until` another takes it over.

    dataset: the id of its data set, which may be deleted once the job has ended.
    """

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str | None] = mapped_column(String(64))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    dataset: Mapped[str] = mapped_column(String(32), index=True)
    preset: Mapped[str] = mapped_column(String(64))
    parameters: Mapped[dict] = mapped_column(JSON)
    title: Mapped[str | None] = mapped_column(String(200))
    created: Mapped[datetime] = mapped_column(Moment)
    started: Mapped[datetime | None] = mapped_column(Moment)
    finished: Mapped[datetime | None] = mapped_column(Moment)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[float | None] = mapped_column(Float)
    progress: Mapped[dict] = mapped_column(JSON, default=dict)
    result: Mapped[dict] = mapped_column(JSON, default=dict)
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("jobs_by_state", "state", "created"),
        Index("jobs_by_key", "owner", "idempotency_key", unique=True),
    )


class ServingModel(Base):
    """One row: the model that every replica is to serve. revision goes up with each change."""

    __tablename__ = "serving"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    reference: Mapped[dict] = mapped_column(JSON)
    revision: Mapped[int] = mapped_column(Integer)
    changed: Mapped[datetime] = mapped_column(Moment)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def connect(settings: Settings) -> Engine:
    """The engine of the database that the settings name, with its tables. Any number of processes may call it at once.

    SQLite writes ahead (WAL), so that readers and a writer do not block each other, and waits for a lock up to 30 s.

    Raises:
        InputError: the folder cannot be used, or the database cannot be used. No message has the URL, which may hold a
            password.
    """
    url = _url(settings)
    try:
        settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _sqlite(url, settings) if url.get_backend_name() == "sqlite" else _postgres(url)
    except (ImportError, NoSuchModuleError):
        raise InputError(
            f"FAKEPRINT_DATABASE: the library for {printable(url.drivername)}:// is not installed; write "
            "postgresql+psycopg://…, and run `pip install 'fakeprint[postgres]'`"
        ) from None
    except OSError as error:
        reason = f"{settings.folder} cannot be used ({error.strerror})"
        raise InputError(f"FAKEPRINT_FOLDER or --folder: {reason}; name another folder") from None
    except DBAPIError as error:
        reason = printable(str(error.orig).strip().partition("\n")[0])
        named = "FAKEPRINT_DATABASE" if settings.database else f"FAKEPRINT_FOLDER or --folder: {url.database}"
        raise InputError(f"{named}: the database cannot be used ({reason})") from None


def _url(settings: Settings) -> URL:
    """The URL of the database. Raises InputError if it is none of SQLite or Postgres."""
    needed = "a URL such as postgresql+psycopg://USER:PASSWORD@HOST/DATABASE is needed"
    try:
        url = make_url(settings.database_url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise InputError(f"FAKEPRINT_DATABASE: {needed}") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(f"FAKEPRINT_DATABASE: {needed}, or one of SQLite, not {printable(url.drivername)}://")
    if "@" in (url.host or ""):  # the host would be part of the password, and be in messages
        raise InputError("FAKEPRINT_DATABASE: there is an @ in the user's name or password; write it as %40")
    return url


def _postgres(url: URL) -> Engine:
    engine = create_engine(url, pool_pre_ping=True)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        Base.metadata.create_all(connection)
    return engine


def _sqlite(url: URL, settings: Settings) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _pragmas(connection, record) -> None:  # type: ignore[no-untyped-def]
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    with FileLock(settings.folder / "tables.lock"):  # two that create the tables of a new file disturb each other
        Base.metadata.create_all(engine)
    return engine


def by_id(session: Session, table: type[Row], identity: str) -> Row | None:
    """The row with an id that somebody sent. Postgres refuses to look for one with a NUL, which it cannot store."""
    return None if "\0" in identity else session.get(table, identity)


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session with a lock that excludes other writers: what it reads is still true when it writes.

    Readers do not wait for it. For what depends on several rows: claims, quotas, keys that must be new.
    """
    with Session(engine, expire_on_commit=False) as session, session.begin():
        if engine.dialect.name == "sqlite":
            session.execute(text("BEGIN IMMEDIATE"))
        else:
            session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield session
