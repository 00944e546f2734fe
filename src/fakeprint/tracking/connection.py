"""Where MLflow is: the database in the repository's root, or the server that MLFLOW_TRACKING_URI names."""

import contextlib
import importlib
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from fakeprint.files import main_root
from fakeprint.tracking.experiment import TAGS

LOCKED = 60.0  # seconds that a process waits for another one's lock
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Of each request, after 0, 4 and 8 s. What still fails is tried again in `background`, which can stop in between.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    # In seconds; MLflow's 120 would be minutes with a server that accepts a request and never answers it.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}


def import_mlflow() -> None:
    """Import MLflow without its telemetry, progress bars and log lines."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    importlib.import_module("mlflow.tracking")
    for logger in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    # Its last metrics do not arrive where the server is away, which has its one warning in `background`.
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)


def folder() -> Path:
    """Where a database of this machine is, with its lock and its artifacts: the repository's root.

    FAKEPRINT_TRACKING_FOLDER names another one, which several repositories share.
    """
    return Path(os.environ.get("FAKEPRINT_TRACKING_FOLDER") or main_root())


def tracking_uri() -> str:
    """The server that MLFLOW_TRACKING_URI names, else the database in `folder`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder() / 'mlflow.db'}"


def is_local(uri: str) -> bool:
    """Whether the runs are in a file of this machine, and their artifacts therefore go into a folder beside it."""
    return uri.startswith("sqlite")


def masked(text: str) -> str:
    """The text without the user names, passwords and tokens of the addresses in it."""
    return re.sub(r"://\S*@", "://***@", text)


def lock() -> FileLock:
    """A lock for all processes that use the same database."""
    place = folder() / ".fakeprint"
    place.mkdir(exist_ok=True)
    return FileLock(place / "mlflow.lock", timeout=LOCKED)


def get_or_none(ask: Callable[..., Any], *names: str) -> Any:
    """Call `ask`, a method of MLflow's client, with these names; None if MLflow has no such object."""
    from mlflow.exceptions import MlflowException

    try:
        return ask(*names)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # the second: no such alias
            return None
        raise


def connect(experiment: str) -> tuple[Any, str]:
    """A client, and the id of the experiment of this name, which is created, restored or described where needed."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = tracking_uri()
    artifacts = (folder() / "mlartifacts").as_uri() if is_local(uri) else None
    # Several processes that open a fresh database at once destroy it: one creates its tables, under a lock.
    with lock() if is_local(uri) else contextlib.nullcontext():
        client = MlflowClient(uri)
        known = client.get_experiment_by_name(experiment)
        if known is None:
            with contextlib.suppress(MlflowException):  # another machine was faster
                client.create_experiment(experiment, artifacts, TAGS)
            known = client.get_experiment_by_name(experiment)
    if known is None:
        raise MlflowException(f"the experiment '{experiment}' cannot be created")
    if known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)
    for key in TAGS.keys() - known.tags.keys():
        client.set_experiment_tag(known.experiment_id, key, TAGS[key])
    return client, known.experiment_id
