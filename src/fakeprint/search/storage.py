"""Where the trials of a search are stored, and what several processes of one search agree by.

Optuna stores trials in a SQLite file of this machine or in a Postgres database, which several machines reach. One
process at a time begins a trial, under a lock. A trial names its process and shows signs of life while it runs, so that
the trial of a process that was killed is given up, and its place taken by another.
"""

import contextlib
import hashlib
import os
import threading
import uuid
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from fakeprint.errors import InputError

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import URL

FILE = Path(".fakeprint/searches.db")
FOLDER = Path(".fakeprint/searches")
VARIABLE = "FAKEPRINT_SEARCH_STORAGE"
PROCESS = "process"  # attribute of a trial: which process runs it
HEARTBEAT = 30  # seconds between two signs of life of a running trial
GRACE = 300  # seconds without one, after which a trial is given up
CONNECT = 10  # seconds to wait for a server
BUSY = 60  # seconds to wait for another process that writes into the same file
LONGEST_HOLD = "60s"  # of the lock, by a machine that was cut off


@dataclass(frozen=True)
class Location:
    """A database: SQLAlchemy's URL, and the option or variable that named it.

    As text, it is without user name, password and options, which are never shown.
    """

    url: "URL"
    named_by: str

    def __str__(self) -> str:
        url = self.url
        return str(type(url).create(url.drivername, host=url.host, port=url.port, database=url.database))

    @property
    def file(self) -> Path | None:
        """The file of SQLite, None for a server."""
        return Path(self.url.database or "") if self.url.get_backend_name() == "sqlite" else None

    @property
    def full(self) -> str:
        """The whole URL, for the environment of a process that is to connect."""
        return self.url.render_as_string(hide_password=False)

    def fault(self, error: BaseException) -> InputError:
        """The error in one line, without what the URL has of secrets."""
        line = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
        options = [value for values in self.url.normalized_query.values() for value in values]
        for secret in filter(None, [self.url.password, *options]):
            line = line.replace(str(secret), "***")
        return InputError(f"{self.named_by}: {self} cannot be used: {line}")


def location(option: str | None, root: Path) -> Location:
    """The database that `--storage` names, else the environment, else the file in the main repository `root`.

    Raises InputError where that is neither an SQLite file nor a Postgres server.
    """
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    text = option or os.environ.get(VARIABLE)
    if not text:
        return Location(URL.create("sqlite", database=str(root / FILE)), "searches")
    named_by = "--storage" if option else VARIABLE
    form = "give postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE"
    try:
        url = make_url(text)
        known = url.get_backend_name() in ("postgresql", "sqlite") and url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise InputError(f"{named_by} is not the URL of a database; {form}") from None
    if not known:
        raise InputError(f"{named_by}: searches cannot be stored in {url.get_backend_name()}; {form}")
    found = Location(url, named_by)
    if found.file is not None and url.database in (None, "", ":memory:"):
        raise InputError(f"{named_by}: {found} is a database in memory, so trials are not stored; {form}")
    if found.file is not None and not found.file.absolute().parent.is_dir():
        raise InputError(f"{named_by}: there is no folder {found.file.parent} for {found}")
    return found


class StoredSearch:
    """One search, opened by this process.

    study: optuna's. name: of the study. folder: where this machine's processes of the search keep locks and logs.
    process: names this one.
    """

    def __init__(self, place: Location, name: str, root: Path) -> None:
        self.place, self.name, self.root = place, name, root
        self.folder = root / FOLDER / name
        self.process = uuid.uuid4().hex
        with _lock(place, "tables"):  # two that create the tables of a new database disturb each other
            self._storage = _storage(place)
            self.study: optuna.Study = _created(self._storage, name)

    def locked(self) -> AbstractContextManager[None]:
        """While inside, no other process of this search is inside; held for less than a second."""
        return _lock(self.place, self.name)

    @contextmanager
    def present(self) -> Iterator[None]:
        """While inside, other processes of this machine see that this one lives. In the end its trial is given up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{self.process}.lock", timeout=0)
        with self.locked():  # nobody looks at the file between its creation and its lock
            self.release_dead()
            lock.acquire()
        try:
            yield
        finally:
            with contextlib.suppress(*_errors()), self.locked():  # a server that is away learns it from the heartbeat
                self._give_up({self.process})
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others are there
                self.folder.rmdir()

    def release_dead(self) -> None:
        """Give up the trials of processes that have ended or show no sign of life. Only while `locked`."""
        from optuna.storages import fail_stale_trials

        with warnings.catch_warnings(action="ignore"):  # experimental
            fail_stale_trials(self.study)
        dead = [path for path in self.folder.glob("*.lock") if path.stem != self.process and _is_free(path)]
        self._give_up({path.stem for path in dead})
        for path in dead:
            path.unlink(missing_ok=True)

    def _give_up(self, processes: set[str]) -> None:
        """Fail the running trials of these processes, and those without a process: it was killed as it began them."""
        from optuna.trial import TrialState

        for trial in self.running():
            if trial.user_attrs.get(PROCESS) in {None, *processes}:
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def running(self) -> list["optuna.trial.FrozenTrial"]:
        """The trials that run now, here or elsewhere."""
        from optuna.trial import TrialState

        return self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])

    def new_trial(self) -> "optuna.Trial":
        """A new trial of the study. Call this while `locked`, and `taken` before the lock is released."""
        with warnings.catch_warnings(action="ignore"):  # optuna shows signs of life in `optimize` alone
            return self.study.ask()

    def taken(self, trial: "optuna.Trial") -> None:
        """Note that this process runs the trial; last of all, since a trial without a process was not begun wholly."""
        self._storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(PROCESS, self.process)

    @contextmanager
    def alive(self, trial: "optuna.Trial") -> Iterator[None]:
        """While inside, this trial shows signs of life."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT):
                with contextlib.suppress(*_errors()):  # the next one may arrive
                    self._storage.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=beat, name="sign of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def agreed(self, key: str, value: str) -> str:
        """What all processes take for this key: the value that the first of them gave."""
        with self.locked():
            known = self.study.user_attrs.get(key)
            if known is None:
                self.study.set_user_attr(key, value)
        return str(known or value)


@contextmanager
def opened(place: Location, name: str, root: Path) -> Iterator[StoredSearch]:
    """The search of this name, which any number of processes may have open.

    root: the main repository. Raises InputError where the database cannot be used, at first or later.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (root / FILE).parent.mkdir(exist_ok=True)
    try:
        search = StoredSearch(place, name, root)
        with search.present():
            yield search
    except _errors() as error:
        raise place.fault(error.__cause__ or error) from None


def _errors() -> tuple[type[Exception], ...]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError, StorageInternalError


def _arguments(place: Location) -> dict[str, Any]:
    return {"timeout": BUSY} if place.file is not None else {"connect_timeout": CONNECT}


def _storage(place: Location) -> "optuna.storages.RDBStorage":
    from optuna.storages import RDBStorage

    options = {"connect_args": _arguments(place), "pool_pre_ping": True}
    try:
        with warnings.catch_warnings(action="ignore"):  # experimental
            return RDBStorage(place.full, options, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    except RuntimeError as error:  # tables of another version of optuna
        raise place.fault(error) from None


def _created(storage: Any, name: str) -> "optuna.Study":
    import optuna

    return optuna.create_study(storage=storage, study_name=name, load_if_exists=True, direction="maximize")


@contextmanager
def _lock(place: Location, name: str) -> Iterator[None]:
    """A lock of this name in the database, or beside its file."""
    if place.file is not None:
        with FileLock(place.file.absolute().with_name(f"{name}.lock")):
            yield
        return
    from sqlalchemy import NullPool, create_engine, text

    try:
        engine = create_engine(place.url, poolclass=NullPool, connect_args=_arguments(place))
    except ImportError as error:
        raise InputError(
            f"{place.named_by}: {place} needs a package that is not installed: {error}; run `pip install "
            "'fakeprint[postgres]'`, or name another driver"
        ) from None
    key = int.from_bytes(hashlib.sha256(f"fakeprint search {name}".encode()).digest()[:8], signed=True)
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_HOLD}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        yield


def _is_free(path: Path) -> bool:
    """Whether no process holds this lock: its own has ended, however it ended."""
    try:
        with FileLock(path, timeout=0):
            return True
    except Timeout:
        return False
