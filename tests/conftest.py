"""Before torch loads: where child processes find the package, and no threads in the way of the other test process.

Then what tests of several folders share.
"""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

os.environ["PYTHONPATH"] = str(Path(__file__).parents[1] / "src")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every child process would compile what it imports
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # joblib starts processes where a test says how many, not one per core


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """tests/pipeline first: xdist gives each process a share of the list, and what takes longest should not end it."""
    items.sort(key=lambda item: Path(__file__).with_name("pipeline") not in item.path.parents)


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
