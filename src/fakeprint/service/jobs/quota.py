"""Work folders of ended jobs are kept up to a number and a size; then the oldest go, but none whose model is in use.

With the last work folder of a data set goes DVC's cache of its jobs.
"""

import contextlib
import logging
import os
from pathlib import Path

from filelock import FileLock
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from fakeprint.files import remove, temporary_folder
from fakeprint.service.datasets import ACTIVE, cache_of_dataset
from fakeprint.service.jobs.results import ID, folder_of_job, model_name
from fakeprint.service.jobs.store import ENDED
from fakeprint.service.settings import MIB, Settings
from fakeprint.service.tables import ServingModel, StoredJob, writing

REMOVED = "removed"  # a key of `StoredJob.result`: the folder is gone

logger = logging.getLogger(__name__)


def enforce_quota(engine: Engine, settings: Settings) -> list[str]:
    """Remove the folders of the oldest ended jobs beyond `kept_jobs` and `kept_jobs_mib`.

    A cache counts with the latest ended job of its data set. The latest ended job stays whatever its size, and so does
    every job whose model serves or is the setting `model`. Rows of jobs stay, with their figures. Any number of workers
    may call it.

    Returns:
        The ids of the jobs whose folders were removed, the latest first.
    """
    with FileLock(settings.folder / "jobs.lock"):
        removed: list[str] = []
        counted: set[str] = set()  # data sets whose cache is part of the size
        size = 0
        for count, (job_id, dataset_id) in enumerate(_ended(engine, settings), start=1):
            folder = folder_of_job(settings, job_id)
            size += _bytes(folder)
            if dataset_id not in counted:
                size += _bytes(cache_of_dataset(settings, dataset_id))
                counted.add(dataset_id)
            fits = count <= settings.kept_jobs and size <= settings.kept_jobs_mib * MIB
            if fits or count == 1 or not _marked(engine, settings, job_id):
                continue
            remove(folder)
            removed.append(job_id)
        caches = _remove_unused_caches(engine, settings)
    if removed:
        logger.info("%d work folders of ended jobs were removed (FAKEPRINT_KEPT_JOBS, _MIB)", len(removed))
    if caches:
        logger.info("DVC's caches of %d data sets were removed with their last work folders", caches)
    return removed


def _ended(engine: Engine, settings: Settings) -> list[tuple[str, str]]:
    """The ended jobs that have a folder, the latest first, each with its data set."""
    folders = {path.name for path in (settings.folder / "jobs").glob("*") if ID.fullmatch(path.name)}
    query = select(StoredJob.id, StoredJob.dataset).where(StoredJob.state.in_(ENDED))
    with Session(engine) as session:
        rows = session.execute(query.order_by(StoredJob.finished.desc(), StoredJob.id)).all()
    return [(job_id, dataset_id) for job_id, dataset_id in rows if job_id in folders]


def _remove_unused_caches(engine: Engine, settings: Settings) -> int:
    """Remove DVC's caches of data sets without a work folder and without a job that waits or runs. Returns how many.

    A job is queued, which makes it active, only while nobody else is `writing`: so no job starts between the look and
    the move. One that starts afterwards makes its cache anew.
    """
    caches = {path.name: path for path in (settings.folder / "dvc-cache").glob("*") if ID.fullmatch(path.name)}
    if not caches:
        return 0
    with temporary_folder(settings.folder / "dvc-cache") as aside, writing(engine) as session:
        columns = select(StoredJob.id, StoredJob.dataset, StoredJob.state)
        for job_id, dataset_id, state in session.execute(columns.where(StoredJob.dataset.in_(list(caches)))).all():
            if state in ACTIVE or folder_of_job(settings, job_id).is_dir():
                caches.pop(dataset_id, None)
        for dataset_id, cache in caches.items():
            with contextlib.suppress(FileNotFoundError):  # deleted with its data set just now
                cache.rename(aside / dataset_id)  # which takes no time; removing it does
    return len(caches)


def _marked(engine: Engine, settings: Settings, job_id: str) -> bool:
    """Note in its row that a job has no folder any more, unless its model is in use. Returns whether it was noted."""
    with writing(engine) as session:
        serving = session.scalars(select(ServingModel)).first()
        if model_name(job_id) in (settings.model, serving.reference["name"] if serving else None):
            return False
        job = session.get(StoredJob, job_id)
        if job is not None:
            job.result = {**job.result, REMOVED: True}
        return True


def _bytes(folder: Path) -> int:
    """Of all files below a folder, which may change meanwhile; 0 if there is none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(place, name).lstat().st_size
    return total
