"""An API in this process, and a folder in which a tiny fit has succeeded."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from filelock import FileLock

from fakeprint.service.api import create_app
from fakeprint.service.jobs import work_folder
from fakeprint.service.jobs.worker import Worker
from fakeprint.service.settings import Settings
from fakeprint.service.tables import connect
from tests.service.fits import TINY, Fitted, archive
from tests.service.postgres import postgres_url

__all__ = ["postgres_url"]  # a fixture


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Starts an API with the given settings, whose files are in `tmp_path`."""
    with ExitStack() as stack:

        def start(**changes: Any) -> TestClient:
            settings = Settings(**({"folder": tmp_path, "workers": 0} | changes))
            return stack.enter_context(TestClient(create_app(settings)))

        yield start


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Path]]:
    """An API with default limits and its folder, for requests that leave nothing behind."""
    folder = tmp_path_factory.mktemp("refusing")
    with TestClient(create_app(Settings(folder=folder, workers=0))) as client:
        yield client, folder


@pytest.fixture
def fast_stages(preloaded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of workers in this process run their stages in forks that have loaded the large libraries."""
    monkeypatch.setattr(work_folder, "PYTHON", Path(preloaded.partition(":")[0]) / "python")


@pytest.fixture(scope="session")
def fitted(shared_folder: Path, preloaded: str, migrated: Path) -> Fitted:
    """A fit over HTTP by a worker of this process. Shared: add jobs, but change none."""
    place = shared_folder / "fitted service"  # spaces are no problem
    with FileLock(f"{place}.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_folder, "PYTHON", Path(preloaded.partition(":")[0]) / "python")
        if not (place / "fitted.json").exists():
            place.mkdir()
            (place / "mlflow.db").write_bytes(migrated.read_bytes())
            settings = Settings(folder=place, workers=0)
            worker = Worker(connect(settings), settings)
            with TestClient(create_app(settings)) as client:
                form = {"parameters": json.dumps(TINY), "title": "stripes: a \u201ctest\u201d", "name": "stripes"}
                sent = client.post("/fit", files={"archive": ("stripes.zip", archive())}, data=form)
                assert sent.status_code == 202, sent.text
                working = threading.Thread(target=worker.run, kwargs={"drain": True})
                working.start()
                events = client.get(f"{sent.headers['Location']}/events").text
                working.join()
                job = client.get(sent.headers["Location"]).json()
            (place / "fitted.json").write_text(json.dumps([job, sent.json()["dataset"], events]))
    job, dataset, events = json.loads((place / "fitted.json").read_text())
    return Fitted(place, job, dataset, events)
