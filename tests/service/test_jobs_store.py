"""The table of jobs: claims, leases, cancelling, and what several processes do to it at once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from fakeprint.service.jobs import store
from fakeprint.service.problems import ServiceError
from fakeprint.service.schemas import FitRequest
from fakeprint.service.settings import Settings
from fakeprint.service.tables import Base, StoredDataset, connect, now, writing

SQLITE, POSTGRES = "sqlite", pytest.param("postgres", marks=pytest.mark.slow)


@pytest.fixture(params=[SQLITE, POSTGRES])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Of a service with the data set `d`, in each database."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    made = Settings(folder=tmp_path, database=url, lease_seconds=0.2, max_attempts=2, max_queued=40)
    engine = connect(made)
    with writing(engine) as session:
        row = {"name": "d", "digest": "", "bytes": 1, "images": 1, "classes": {}, "created": now()}
        session.add(StoredDataset(id="d", owner="a", profile=None, **row))
    yield made
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def engine(settings: Settings) -> Engine:
    return connect(settings)


def submit(engine: Engine, settings: Settings, key: str | None = None, **changes: Any) -> store.StoredJob:
    return store.submit(engine, settings, "a", False, FitRequest(**({"dataset": "d"} | changes)), key)


def state(engine: Engine, job: store.StoredJob) -> str:
    return store.find(engine, job.id, "a", False).state


def test_jobs_are_taken_in_order_and_once(settings: Settings, engine: Engine) -> None:
    first, second = submit(engine, settings), submit(engine, settings)
    taken = [store.claim(engine, settings, "w") for _ in range(3)]
    assert [job and job.id for job in taken] == [first.id, second.id, None]
    assert taken[0] is not None
    assert (taken[0].state, taken[0].attempts, taken[0].started is not None) == ("running", 1, True)


# A process that takes all jobs it can get. Its settings come from the environment.
CLAIMING = """
import json, sys
from fakeprint.service.jobs import store
from fakeprint.service.settings import Settings
from fakeprint.service.tables import connect
settings, taken = Settings(), []
engine = connect(settings)
while job := store.claim(engine, settings, sys.argv[1]):
    taken.append(job.id)
print(json.dumps(taken))
"""


@pytest.mark.slow
def test_two_workers_never_take_one_job(settings: Settings, engine: Engine) -> None:
    submitted = [submit(engine, settings).id for _ in range(30)]
    environment = {
        "FAKEPRINT_FOLDER": str(settings.folder),
        "FAKEPRINT_DATABASE": settings.database_url,
        "FAKEPRINT_LEASE_SECONDS": "60",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMING, f"w{number}"], env={**os.environ, **environment}, stdout=subprocess.PIPE
        )
        for number in range(3)
    ]
    taken = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert sorted(job for of_one in taken for job in of_one) == sorted(submitted)


@pytest.mark.slow
def test_a_job_whose_worker_died_is_taken_over_until_its_attempts_are_used_up(
    settings: Settings, engine: Engine
) -> None:
    submitted = submit(engine, settings)
    first = store.claim(engine, settings, "w1")
    assert first is not None
    assert store.claim(engine, settings, "w2") is None
    assert store.renew(engine, settings, first, {"epoch": 1}) == "running"
    time.sleep(0.3)
    second = store.claim(engine, settings, "w2")
    assert second is not None
    assert (second.id, second.attempts, second.progress) == (submitted.id, 2, {"epoch": 1})
    assert store.renew(engine, settings, first, {"epoch": 9}) is None
    assert not store.finish(engine, first, "succeeded")
    assert state(engine, submitted) == "running"
    time.sleep(0.3)
    assert store.claim(engine, settings, "w3") is None
    failed = store.find(engine, submitted.id, "a", False)
    assert (failed.state, failed.error) == ("failed", "its worker ended 2 times without a result; see the log")


def test_a_job_that_is_given_back_keeps_its_attempts(settings: Settings, engine: Engine) -> None:
    submitted = submit(engine, settings)
    for _ in range(4):
        job = store.claim(engine, settings, "w")
        assert job is not None
        assert job.attempts == 1
        assert store.give_back(engine, job)
        assert state(engine, submitted) == "queued"


@pytest.mark.slow
def test_cancelling(settings: Settings, engine: Engine) -> None:
    waiting = submit(engine, settings)
    assert store.cancel(engine, waiting.id, "a", False).state == "cancelled"
    running = submit(engine, settings)
    job = store.claim(engine, settings, "w")
    assert job is not None
    assert store.cancel(engine, running.id, "a", False).state == "cancelling"
    assert store.renew(engine, settings, job) == "cancelling"
    assert store.finish(engine, job, "cancelled")
    assert store.cancel(engine, running.id, "a", False).state == "cancelled"
    stopped = submit(engine, settings)
    job = store.claim(engine, settings, "w")
    store.cancel(engine, stopped.id, "a", False)
    assert job is not None
    assert store.give_back(engine, job)
    assert state(engine, stopped) == "cancelled"
    orphan = submit(engine, settings)
    store.claim(engine, settings, "w")
    store.cancel(engine, orphan.id, "a", False)
    time.sleep(0.3)
    assert store.claim(engine, settings, "w") is None
    assert state(engine, orphan) == "cancelled"


def test_an_idempotency_key_names_one_job(settings: Settings, engine: Engine) -> None:
    first = submit(engine, settings, "k", parameters={"train.epochs": 2})
    assert submit(engine, settings, "k", parameters={"train.epochs": 2}).id == first.id
    assert submit(engine, settings, "other", parameters={"train.epochs": 2}).id != first.id
    with pytest.raises(
        ServiceError, match="this Idempotency-Key was sent with another request; take a new one"
    ) as error:
        submit(engine, settings, "k", parameters={"train.epochs": 3})
    assert error.value.status == 422
    of_all = store.submit(engine, settings, None, True, FitRequest(dataset="d"), "k")
    assert of_all.id != first.id
    assert store.submit(engine, settings, None, True, FitRequest(dataset="d"), "k").id == of_all.id


def test_too_many_waiting_jobs_are_refused(settings: Settings, engine: Engine) -> None:
    few = settings.model_copy(update={"max_queued": 2})
    submit(engine, few), submit(engine, few)
    with pytest.raises(ServiceError, match="2 jobs are waiting already; try again later") as error:
        submit(engine, few)
    assert error.value.status == 429
    store.claim(engine, few, "w")
    submit(engine, few)


def test_a_key_sees_its_own_jobs_and_pages_through_them(settings: Settings, engine: Engine) -> None:
    jobs = [submit(engine, settings).id for _ in range(5)]
    with pytest.raises(ServiceError, match="there is no such data set"):
        store.submit(engine, settings, "b", False, FitRequest(dataset="d"))
    for call in (store.find, store.cancel):
        with pytest.raises(ServiceError, match="there is no such job; `GET /jobs` lists yours"):
            call(engine, jobs[0], "b", False)
    assert store.page(engine, "b", False, 10, None) == ([], None)
    assert len(store.page(engine, "b", True, 10, None)[0]) == 5
    seen, after = [], None
    while True:
        rows, after = store.page(engine, "a", False, 2, after)
        seen += [row.id for row in rows]
        if after is None:
            break
    assert seen == jobs[::-1]
