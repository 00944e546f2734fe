"""Where a job's files are: its work folder, its log and the model that it made."""

import heapq
import re
from pathlib import Path

from fakeprint.errors import InputError
from fakeprint.evaluation.champion import CHAMPION, MODELS
from fakeprint.service.settings import Settings

ID = re.compile(r"[0-9a-f]{32}")
MOST = 20  # models of jobs that are listed
MODEL = "job:"  # what a name in `POST /set` begins with, if it means the model of a job


def model_name(job_id: str) -> str:
    """The name under which `POST /set` serves the model of a job, with the source `folder`."""
    return f"{MODEL}{job_id}"


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


def latest_models(settings: Settings, most: int = MOST) -> list[str]:
    """The names under which `POST /set` serves the models of jobs, the latest first, at most so many."""
    made = (settings.folder / "jobs").glob(f"*/{MODELS}/{CHAMPION}/champion.json")
    latest = heapq.nlargest(most, made, key=lambda file: (file.stat().st_mtime, file))
    return [model_name(file.parents[len(MODELS.parts) + 1].name) for file in latest]


def model_folder_of_job(settings: Settings, job_id: str) -> Path:
    """The folder of the champion that a job made, laid out as `models/champion` of the repository.

    Args:
        settings: of the service.
        job_id: with or without `job:` before it.

    Raises:
        InputError: there is no such job, or it has made no model (yet).
    """
    job_id = job_id.removeprefix(MODEL)
    folder = folder_of_job(settings, job_id) / MODELS / CHAMPION
    if not (folder / "champion.json").is_file():
        raise InputError(f"the job '{job_id}' has no model; it has one from its success until its files are removed")
    return folder
