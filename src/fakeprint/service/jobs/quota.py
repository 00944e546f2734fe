"""Work folders of ended jobs are kept up to a number and a size; then the oldest go, but none whose model is in use."""

import logging
from pathlib import Path

from filelock import FileLock
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from fakeprint.files import remove
from fakeprint.service.jobs.results import ID, folder_of_job, model_name
from fakeprint.service.jobs.store import ENDED
from fakeprint.service.settings import MIB, Settings
from fakeprint.service.tables import ServingModel, StoredJob, writing

REMOVED = "removed"  # a key of `StoredJob.result`: the folder is gone

logger = logging.getLogger(__name__)


def keep_to_it(engine: Engine, settings: Settings) -> list[str]:
    """Remove the folders of the oldest ended jobs beyond `kept_jobs` and `kept_jobs_mib`.

    The latest ended job stays whatever its size, and so does every job whose model serves or is the setting `model`.
    Rows of jobs stay, with their figures. Any number of workers may call it.

    Returns:
        The ids of the jobs whose folders were removed, the latest first.
    """
    with FileLock(settings.folder / "jobs.lock"):
        removed = []
        size = 0
        for count, job_id in enumerate(_ended(engine, settings), start=1):
            folder = folder_of_job(settings, job_id)
            size += _bytes(folder)
            fits = count <= settings.kept_jobs and size <= settings.kept_jobs_mib * MIB
            if fits or count == 1 or not _marked(engine, settings, job_id):
                continue
            remove(folder)
            removed.append(job_id)
    if removed:
        logger.info("%d work folders of ended jobs were removed (FAKEPRINT_KEPT_JOBS, _MIB)", len(removed))
    return removed


def _ended(engine: Engine, settings: Settings) -> list[str]:
    """The ended jobs that have a folder, the latest first."""
    there = {path.name for path in (settings.folder / "jobs").glob("*") if ID.fullmatch(path.name)}
    query = select(StoredJob.id).where(StoredJob.state.in_(ENDED)).order_by(StoredJob.finished.desc(), StoredJob.id)
    with Session(engine) as session:
        return [job_id for job_id in session.scalars(query) if job_id in there]


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
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())
