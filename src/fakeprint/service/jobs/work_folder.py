"""The folder that a job's pipeline runs in: a repository of DVC without git, like the project's own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fakeprint.errors import InputError
from fakeprint.files import read_json, remove, written_folder
from fakeprint.service import datasets
from fakeprint.service.jobs import pipeline
from fakeprint.service.jobs.options import params_text
from fakeprint.service.jobs.results import folder_of_job
from fakeprint.service.schemas import FitRequest
from fakeprint.service.settings import Settings
from fakeprint.service.tables import StoredJob

PYTHON = Path(sys.executable)  # runs the pipeline: this one, whatever `python` is on the PATH
# What no job gets to see: the service's secrets, and settings of whoever started the worker.
PRIVATE = ("FAKEPRINT_", "DVC_", "GIT_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


def environment(settings: Settings) -> dict[str, str]:
    """Of a job's pipeline: its `python` is this one, its runs are logged to the service's MLflow."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(PRIVATE)}
    folder = settings.folder.resolve()
    return own | {
        "PATH": f"{PYTHON.parent}{os.pathsep}{own.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
        "MLFLOW_TRACKING_URI": settings.mlflow_uri,
        "FAKEPRINT_TRACKING_FOLDER": str(folder),
    }


def make(settings: Settings, job: StoredJob) -> Path:
    """The work folder of a job, which is made at its first attempt; a later one goes on in it.

    Raises:
        InputError: the data set is gone, or its parameters are refused by now.
    """
    folder = folder_of_job(settings, job.id)
    source = datasets.require_source(settings, job.dataset)
    if not (folder / "params.yaml").exists():
        request = FitRequest(dataset=job.dataset, preset=job.preset, parameters=job.parameters, title=job.title)
        with written_folder(folder) as partial:
            pipeline.copy_to(partial)
            (partial / "params.yaml").write_text(params_text(request, source, settings), encoding="utf-8")
            _init_dvc(partial, settings, job.dataset)
    for leftover in ("lock", "rwlock", "rwlock.lock"):  # of a killed DVC: nobody else runs here
        remove(folder / ".dvc" / "tmp" / leftover)
    return folder


def _init_dvc(folder: Path, settings: Settings, dataset_id: str) -> None:
    command: list[str | Path] = [PYTHON, "-m", "dvc", "init", "--no-scm", "--force", "--quiet"]
    plots = folder / ".dvc" / "plots"
    aside = plots.rename(folder / "plots")  # `--force` empties .dvc
    done = subprocess.run(command, cwd=folder, env=environment(settings), capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"dvc init: {' '.join(done.stderr.split())}")
    aside.rename(plots)
    cache = datasets.cache_of_dataset(settings, dataset_id).resolve()
    cache.mkdir(parents=True, exist_ok=True)
    (folder / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")


def count_stages(folder: Path) -> int:
    """How many stages the pipeline of this folder has, each model's counted."""
    read = YAML(typ="safe")
    stages = read.load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    content = read.load((folder / "params.yaml").read_text(encoding="utf-8"))
    return sum(len(_looked_up(content, stage["foreach"])) if "foreach" in stage else 1 for stage in stages.values())


def networks(folder: Path) -> list[str]:
    """The networks that this folder's pipeline trains."""
    content = YAML(typ="safe").load((folder / "params.yaml").read_text(encoding="utf-8"))
    return list(content["run"]["networks"])


def _looked_up(content: Any, expression: str) -> Any:
    for key in expression.removeprefix("${").removesuffix("}").split("."):
        content = content[key]
    return content


def result(folder: Path) -> dict[str, Any]:
    """What a finished pipeline says of its champion: `champion`, its name, and `metrics`, its figures."""
    leaderboard = read_json(folder / "metrics" / "leaderboard.json")
    champion = leaderboard["champion"]
    figures = leaderboard["models"][champion]
    numbers = {key: value for key, value in figures.items() if isinstance(value, float) and not isinstance(value, bool)}
    return {"champion": champion, "metrics": json.loads(json.dumps(numbers))}
