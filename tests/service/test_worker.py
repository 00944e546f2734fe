"""Workers that are killed, stopped and cancelled in the middle of a fit."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from fakeprint.service.jobs import store, work_folder
from fakeprint.service.jobs.results import folder_of_job, log_of_job
from fakeprint.service.jobs.worker import Worker
from fakeprint.service.schemas import FitRequest
from fakeprint.service.settings import Settings
from fakeprint.service.tables import StoredJob, connect
from tests.service.fits import ROOT, TINY, Fitted, processes_in, start, until

pytestmark = pytest.mark.slow

LONG = TINY | {"train.epochs": 60, "train.early_stopping": 0}
# The API without what predicts, which would load torch and a model.
SERVER = """
import sys, uvicorn
from fakeprint.service import api
from fakeprint.service.settings import Settings
api.ROUTES = ("datasets", "fit", "jobs")
uvicorn.run(api.create_app(Settings()), port=int(sys.argv[1]), log_level="warning")
"""
# `fakeprint worker` whose jobs run their stages by another `python`.
WORKER = """
import sys
from pathlib import Path
from fakeprint.__main__ import main
from fakeprint.service.jobs import work_folder
work_folder.PYTHON = Path(sys.argv.pop())
main()
"""


def submit(engine: Engine, fitted: Fitted, **changes: Any) -> StoredJob:
    request = FitRequest(dataset=fitted.dataset, parameters=LONG | changes)
    return store.submit(engine, fitted.settings, None, True, request)


@pytest.fixture
def engine(fitted: Fitted) -> Iterator[Engine]:
    engine = connect(fitted.settings)
    yield engine
    engine.dispose()


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Put processes in, and they do not outlive the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def has_epoch(settings: Settings, job: StoredJob, number: int) -> bool:
    log = log_of_job(settings, job.id)
    return log.exists() and f"three_cnn epoch {number}/60" in log.read_text()


def free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def serving(url: str) -> bool:
    try:
        return httpx.get(f"{url}/jobs").is_success
    except httpx.TransportError:
        return False


def test_a_fit_survives_the_death_of_its_worker_and_of_the_api(
    fitted: Fitted, engine: Engine, processes: list["subprocess.Popen[bytes]"], tmp_path: Path, preloaded: str
) -> None:
    worker = ("-c", WORKER, "worker", f"{preloaded.partition(':')[0]}/python")
    settings = fitted.settings.model_copy(update={"lease_seconds": 2.0})
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    processes.append(start(settings, "-c", SERVER, port))
    until(lambda: serving(url), processes[-1])
    body = {"dataset": fitted.dataset, "parameters": LONG}
    sent = httpx.post(f"{url}/fit", json=body, timeout=60).json()
    job = store.find(engine, sent["id"], None, True)
    folder = folder_of_job(settings, job.id)

    processes.append(start(settings, *worker))
    until(lambda: has_epoch(settings, job, 3), processes[-1])
    processes[0].kill()
    processes[1].kill()
    until(lambda: not processes_in(folder))
    assert not has_epoch(settings, job, 60)

    processes.append(start(settings, "-c", SERVER, port))
    processes.append(start(settings, *worker))
    until(lambda: has_epoch(settings, job, 60), processes[-1])
    until(lambda: (folder / "models/three_cnn/model.json").exists(), processes[-1])
    until(lambda: serving(url), processes[-2])
    shown = httpx.get(f"{url}/jobs/{job.id}").json()
    assert (shown["state"], shown["attempts"]) == ("running", 2)
    printed = log_of_job(settings, job.id).read_text()
    assert "three_cnn: continuing after epoch" in printed
    assert printed.count("three_cnn epoch 1/60") == 1

    processes[-1].terminate()  # and the job waits for another worker
    assert processes[-1].wait(60) == 0
    assert not processes_in(folder)
    assert httpx.get(f"{url}/jobs/{job.id}").json()["state"] == "queued"
    assert httpx.delete(f"{url}/jobs/{job.id}").json()["state"] == "cancelled"

    unbroken = tmp_path / "unbroken"
    shutil.copytree(folder, unbroken, symlinks=True)
    shutil.rmtree(unbroken / "models")
    environment = work_folder.environment(settings) | {"PYTHONPATH": "src"}
    text = (unbroken / "params.yaml").read_text()
    assert "  enabled: true # false needs" in text
    (unbroken / "params.yaml").write_text(text.replace("enabled: true # false needs", "enabled: false # false needs"))
    subprocess.run([sys.executable, "-m", "stages.train", "three_cnn"], cwd=unbroken, env=environment, check=True)
    names = sorted(path.name for path in (unbroken / "models/three_cnn").iterdir())
    assert "model.json" in names
    for name in names:
        assert (unbroken / "models/three_cnn" / name).read_bytes() == (folder / "models/three_cnn" / name).read_bytes()


class Stopper:
    """Does something to a job when its training has begun."""

    def __init__(self, worker: Worker, job: StoredJob) -> None:
        import threading

        self.worker, self.job = worker, job
        self.thread = threading.Thread(target=worker.run, kwargs={"drain": True})

    def __enter__(self) -> "Stopper":
        self.thread.start()
        until(lambda: has_epoch(self.worker.settings, self.job, 2))
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_cancelling_ends_every_process_of_a_job(fitted: Fitted, engine: Engine, fast_stages: None) -> None:
    job = submit(engine, fitted, **{"train.lr": 0.003})
    folder = folder_of_job(fitted.settings, job.id)
    with Stopper(Worker(engine, fitted.settings), job):
        running = store.find(engine, job.id, None, True)
        assert running.state == "running"
        assert processes_in(folder)
        assert store.cancel(engine, job.id, None, True).state == "cancelling"
        until_free = time.monotonic() + 10  # seconds, also on a busy machine
        while processes_in(folder):
            assert time.monotonic() < until_free, processes_in(folder)
            time.sleep(0.1)
    ended = store.find(engine, job.id, None, True)
    assert (ended.state, ended.error) == ("cancelled", None)
    assert ended.progress["stage"] == "train@three_cnn"
    assert ended.progress["epochs"] == 60
    assert [row["epoch"] for row in ended.progress["curve"]] == list(range(1, ended.progress["epoch"] + 1))
    assert ended.progress["eta_seconds"] > 0


def test_a_fit_that_takes_too_long_has_failed(fitted: Fitted, engine: Engine, fast_stages: None) -> None:
    job = submit(engine, fitted)
    short = fitted.settings.model_copy(update={"job_hours": 1e-5})
    Worker(engine, short).run(drain=True)
    ended = store.find(engine, job.id, None, True)
    assert (ended.state, ended.error) == ("failed", "it took longer than 1e-05 hours (FAKEPRINT_JOB_HOURS)")


def test_a_worker_that_has_lost_its_lease_leaves_the_job_alone(
    fitted: Fitted, engine: Engine, fast_stages: None
) -> None:
    job = submit(engine, fitted, **{"train.lr": 0.004})
    settings = fitted.settings.model_copy(update={"lease_seconds": 1000.0})
    with Stopper(Worker(engine, settings), job), store.writing(engine) as session:
        row = session.get(StoredJob, job.id)
        assert row is not None
        row.worker = "another"
    taken = store.find(engine, job.id, None, True)
    assert (taken.state, taken.worker, taken.error) == ("running", "another", None)
    assert store.finish(engine, taken, "cancelled")


def test_a_pipeline_that_fails_tells_its_own_line(fitted: Fitted, engine: Engine, fast_stages: None) -> None:
    job = submit(engine, fitted, **{"train.batch_size": 4096})
    Worker(engine, fitted.settings).run(drain=True)
    ended = store.find(engine, job.id, None, True)
    assert ended.state == "failed"
    assert ended.error is not None
    assert "batch" in ended.error
    assert ended.error.endswith("(see the log)")
    assert ended.error.count("\n") == 0


def test_the_pipeline_sees_none_of_the_services_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKEPRINT_DATABASE", "postgresql://me:hidden-word@host")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    made = work_folder.environment(Settings(folder=tmp_path, database=None))
    assert "hidden-word" not in json.dumps(made)
    assert "PYTHONPATH" not in made
    assert made["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "FAKEPRINT_LEASE_SECONDS": "soon", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "fakeprint", "worker", "--drain"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: FAKEPRINT_LEASE_SECONDS: Input should be a valid number")
