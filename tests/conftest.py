"""Before torch loads: where child processes find the package, and no threads in the way of the other test process.

Then what tests of several folders share.
"""

import gc
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.pipeline.clones import clean_environment

gc.disable()  # until all test modules are loaded, and what they load: nothing of that becomes garbage
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1] / "src")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every child process would compile what it imports
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # joblib starts processes where a test says how many, not one per core


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """tests/pipeline first: xdist gives each process a share of the list, and what takes longest should not end it."""
    items.sort(key=lambda item: Path(__file__).with_name("pipeline") not in item.path.parents)


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all test processes share; what one makes there, it makes under a lock."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def migrated(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables: making them takes seconds, so it is made once and tests copy it."""
    database = shared_folder / "migrated" / "mlflow.db"
    with FileLock(shared_folder / "migrated.lock"):
        if not database.exists():
            from mlflow import MlflowClient

            made = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
            MlflowClient(f"sqlite:///{made}").search_experiments()
            database.parent.mkdir()
            shutil.copy2(made, database)
    return database


@pytest.fixture(scope="session")
def preloaded(shared_folder: Path) -> Iterator[str]:
    """For the PATH of a clone: a `python` that need not load the large libraries. All test processes share its server.

    `reproduced` runs the script of each stage in a Python of its own once.
    """
    own = str(Path(sys.executable).parent)
    if sys.platform != "linux":  # elsewhere a fork may not use what its parent has loaded
        yield own
        return
    place = shared_folder / "preloaded"
    with FileLock(f"{place}.lock"):
        if not place.exists():
            place.mkdir()
            os.mkfifo(place / "users")
        users = os.open(place / "users", os.O_RDWR)  # the server ends when nobody has it open for writing
        if not (place / "socket").exists():
            _start_server(place)
    yield f"{place}:{own}"
    os.close(users)


def _start_server(place: Path) -> None:
    here = Path(__file__).with_name("pipeline")
    client = shlex.join([sys.executable, "-IS", str(here / "preloaded_client.py"), str(place)])
    (place / "python").write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    (place / "python").chmod(0o755)
    with (place / "users").open("rb") as users, (place / "log").open("wb") as log:
        command = [sys.executable, here / "preloaded.py"]
        server = subprocess.Popen(command, cwd=place, env=clean_environment(), stdin=users, stdout=log, stderr=log)
    while not (place / "socket").exists():
        assert server.poll() is None, (place / "log").read_text()
        time.sleep(0.1)
