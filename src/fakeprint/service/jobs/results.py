"""Where a job's files are: its work folder, its log and the model that it made."""

import re
from pathlib import Path

from fakeprint.errors import InputError
from fakeprint.evaluation.champion import CHAMPION, MODELS
from fakeprint.service.settings import Settings

ID = re.compile(r"[0-9a-f]{32}")
JOB = "job:"  # what a name in `POST /set` begins with, if it means the model of a job


def model_name(job_id: str) -> str:
    """The name under which `POST /set` serves the model of a job, with the source `folder`."""
    return f"{JOB}{job_id}"


def folder_of_job(settings: Settings, job_id: str) -> Path:
    """The work folder of a job, whether it exists or not.

    Raises:
        InputError: this is not the id of a job, which may come from a request.
    """
    if not ID.fullmatch(job_id):
        raise InputError(f"there is no job '{job_id}'")
    return settings.folder / "jobs" / job_id


def log_of_job(settings: Settings, job_id: str) -> Path:
    """The file that a job's pipeline prints to. Raises InputError for what is no id."""
    return folder_of_job(settings, job_id) / "log.txt"


def model_folder_of_job(settings: Settings, job_id: str) -> Path:
    """The folder of the champion that a job made, laid out as `models/champion` of the repository.

    Args:
        settings: of the service.
        job_id: with or without `job:` before it.

    Raises:
        InputError: there is no such job, or it has made no model (yet).
    """
    job_id = job_id.removeprefix(JOB)
    folder = folder_of_job(settings, job_id) / MODELS / CHAMPION
    if not (folder / "champion.json").is_file():
        raise InputError(f"the job '{job_id}' has no model; it has one when its state is succeeded")
    return folder


def models_of_jobs(settings: Settings, most: int) -> list[tuple[str, Path]]:
    """Id and champion's folder of the jobs that have made a model, the latest first, at most so many."""
    found = [
        (file.stat().st_mtime, file.parents[2].name, file.parent)
        for file in (settings.folder / "jobs").glob(f"*/{MODELS}/{CHAMPION}/champion.json")
        if ID.fullmatch(file.parents[2].name)
    ]
    return [(job_id, folder) for _, job_id, folder in sorted(found, reverse=True)[:most]]
