"""The data sets that were sent: rows of a table, and a folder of each in `folder`/datasets."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, defer

from fakeprint.errors import InputError
from fakeprint.files import remove, remove_abandoned
from fakeprint.service import schemas
from fakeprint.service.problems import ServiceError
from fakeprint.service.settings import MIB, Settings
from fakeprint.service.sources import Prepared
from fakeprint.service.tables import StoredDataset, StoredJob, by_id, now, writing

ACTIVE = ("queued", "running", "cancelling")  # states of jobs that read their data set


def folder_of_dataset(settings: Settings, dataset_id: str) -> Path:
    """The folder of a data set that is in the table."""
    return settings.folder / "datasets" / dataset_id


def cache_of_dataset(settings: Settings, dataset_id: str) -> Path:
    """DVC's cache of all jobs with this data set: what they share, and what goes with it."""
    return settings.folder / "dvc-cache" / dataset_id


def keep(engine: Engine, settings: Settings, owner: str | None, prepared: Prepared) -> tuple[StoredDataset, bool]:
    """Keep a prepared source as a data set of its owner, and whether it is new: the same content is kept once.

    Where the files of a known one are gone, these take their place.

    Raises:
        ServiceError: 413 where it would exceed the disk space of all data sets.
    """
    dataset_id = hashlib.sha256(f"{owner} {prepared.digest}".encode()).hexdigest()[:32]
    with _lock(settings), writing(engine) as session:
        known = session.get(StoredDataset, dataset_id)
        folder = folder_of_dataset(settings, dataset_id)
        if known is not None:
            if not folder.is_dir():
                _put(prepared.folder, folder)
            return known, False
        used = session.scalar(select(func.coalesce(func.sum(StoredDataset.bytes), 0))) or 0
        if used + prepared.bytes > settings.datasets_mib * MIB:
            raise ServiceError(
                413,
                f"{prepared.bytes / MIB:.1f} MiB more would exceed the {settings.datasets_mib:g} MiB of all data sets "
                "(FAKEPRINT_DATASETS_MIB); delete some first",
            )
        row = StoredDataset(
            id=dataset_id,
            owner=owner,
            name=prepared.name,
            digest=prepared.digest,
            bytes=prepared.bytes,
            images=prepared.images,
            classes=prepared.classes,
            created=now(),
            profile=None,
        )
        session.add(row)
        _put(prepared.folder, folder)
        session.flush()
    return row, True


def _put(source: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove(folder)
    source.replace(folder)


def list_datasets(engine: Engine, owner: str | None, every: bool) -> Sequence[StoredDataset]:
    """The data sets of an owner, or every one, the latest first."""
    query = select(StoredDataset).options(defer(StoredDataset.profile))
    if not every:
        query = query.where(StoredDataset.owner == owner)
    with Session(engine) as session:
        return session.scalars(query.order_by(StoredDataset.created.desc(), StoredDataset.id)).all()


def find(engine: Engine, dataset_id: str, owner: str | None, every: bool) -> StoredDataset:
    """A data set of this owner, or of anybody.

    Raises:
        ServiceError: 404.
    """
    with Session(engine) as session:
        return _found(session, dataset_id, owner, every)


def delete(engine: Engine, settings: Settings, dataset_id: str, owner: str | None, every: bool) -> None:
    """Remove a data set and everything that holds its images: the cache, and arrays and reports of jobs that ended.

    Their models and figures stay.

    Raises:
        ServiceError: 404; 409 while a job uses it.
    """
    with _lock(settings):
        with writing(engine) as session:
            row = _found(session, dataset_id, owner, every)
            jobs = session.execute(select(StoredJob.id, StoredJob.state).where(StoredJob.dataset == dataset_id)).all()
            using = [job.id for job in jobs if job.state in ACTIVE]
            if using:
                raise ServiceError(409, f"the data set {dataset_id} is in use by the job {using[0]}; cancel it first")
            session.delete(row)
        for job in jobs:
            for name in ("data", "reports"):
                remove(settings.folder / "jobs" / job.id / name)
        remove(cache_of_dataset(settings, dataset_id))
        remove(folder_of_dataset(settings, dataset_id))


def clean_up(engine: Engine, settings: Settings) -> None:
    """Remove what a crash left: half-received files, and folders of data sets that are not in the table."""
    remove_abandoned(settings.folder / "uploads")
    with _lock(settings), Session(engine) as session:
        known = set(session.scalars(select(StoredDataset.id)))
        for parent in ("datasets", "dvc-cache"):
            for folder in (settings.folder / parent).glob("*"):
                if folder.name not in known:
                    remove(folder)


def as_answer(row: StoredDataset) -> schemas.Dataset:
    """What the API tells of a data set."""
    return schemas.Dataset(
        id=row.id,
        name=row.name,
        digest=row.digest,
        bytes=row.bytes,
        images=row.images,
        classes=row.classes,
        created=row.created,
    )


def require_source(settings: Settings, dataset_id: str) -> Path:
    """The folder of a data set. Raises InputError if its files are gone."""
    folder = folder_of_dataset(settings, dataset_id)
    if not folder.is_dir():
        raise InputError(f"the files of the data set {dataset_id} are gone; send it again")
    return folder


def _found(session: Session, dataset_id: str, owner: str | None, every: bool) -> StoredDataset:
    row = by_id(session, StoredDataset, dataset_id)
    if row is None or not (every or row.owner == owner):
        raise ServiceError(404, "there is no such data set; `GET /datasets` lists yours")
    return row


def _lock(settings: Settings) -> FileLock:
    """Held while folders and rows change together: without it, `clean_up` would remove a folder before its row is."""
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return FileLock(settings.folder / "datasets.lock")
