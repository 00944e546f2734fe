"""Work folders of ended jobs: how many are kept, and which ones go."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from fakeprint.service.api import create_app
from fakeprint.service.jobs import quota
from fakeprint.service.jobs.answers import as_answer
from fakeprint.service.jobs.results import MODEL, folder_of_job
from fakeprint.service.jobs.store import find
from fakeprint.service.settings import Settings
from fakeprint.service.tables import ServingModel, StoredJob, connect, now, writing

STATES = ("succeeded", "failed", "cancelled", "succeeded", "running", "queued")
IDS = [str(number) * 32 for number in range(len(STATES))]  # the higher, the later


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Six jobs, of which the first four have ended one after the other, each with a folder of 1 MiB."""
    engine = connect(Settings(folder=tmp_path))
    about: dict[str, Any] = {"request_digest": "", "dataset": "d", "preset": "demo", "parameters": {}, "progress": {}}
    with writing(engine) as session:
        for number, (job_id, state) in enumerate(zip(IDS, STATES, strict=True)):
            ended = now() + timedelta(seconds=number) if state not in ("running", "queued") else None
            result = {"champion": "lda", "metrics": {"accuracy": 0.5}} if state == "succeeded" else {}
            session.add(StoredJob(id=job_id, state=state, created=now(), finished=ended, result=result, **about))
    for job_id in IDS[:-1]:
        (tmp_path / "jobs" / job_id / "models").mkdir(parents=True)
        (tmp_path / "jobs" / job_id / "models" / "weights").write_bytes(bytes(2**20))
    (tmp_path / "jobs" / "somebody's").mkdir()
    return engine


def left(folder: Path) -> list[int]:
    return sorted(int(path.name[0]) for path in (folder / "jobs").iterdir() if path.name != "somebody's")


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"kept_jobs": 4, "kept_jobs_mib": 4}, [0, 1, 2, 3, 4]),
        ({"kept_jobs": 2}, [2, 3, 4]),
        ({"kept_jobs_mib": 3.5}, [1, 2, 3, 4]),
        ({"kept_jobs_mib": 0.5}, [3, 4]),  # the latest stays
    ],
)
def test_the_oldest_ended_jobs_go_first(engine: Engine, tmp_path: Path, limits: Any, kept: list[int]) -> None:
    settings = Settings(folder=tmp_path, **limits)
    removed = quota.enforce_quota(engine, settings)
    assert left(tmp_path) == kept
    assert removed == [IDS[number] for number in range(3, -1, -1) if number not in kept]
    assert quota.enforce_quota(engine, settings) == []
    assert (tmp_path / "jobs" / "somebody's").is_dir()


def with_cache(engine: Engine, folder: Path, datasets: dict[int, str], mebibytes: float = 1) -> None:
    """Give jobs data sets, each with a cache of DVC."""
    with writing(engine) as session:
        for number, letter in datasets.items():
            job = session.get(StoredJob, IDS[number])
            assert job is not None
            job.dataset = letter * 32
    for letter in set(datasets.values()):
        objects = folder / "dvc-cache" / (letter * 32) / "files" / "md5"
        objects.mkdir(parents=True)
        (objects / "object").write_bytes(bytes(int(mebibytes * 2**20)))


def caches(folder: Path) -> list[str]:
    return sorted(path.name[:1] for path in (folder / "dvc-cache").iterdir())


@pytest.mark.parametrize(
    ("limits", "kept", "cached"),
    [
        ({"kept_jobs_mib": 7}, [0, 1, 2, 3, 4], ["a", "b", "c"]),
        ({"kept_jobs_mib": 5}, [1, 2, 3, 4], ["a", "b", "c"]),  # without the caches all four would fit
        ({"kept_jobs_mib": 4}, [2, 3, 4], ["b", "c"]),  # no job of a is left
        ({"kept_jobs_mib": 0.5}, [3, 4], ["b", "c"]),
        ({"kept_jobs": 2}, [2, 3, 4], ["b", "c"]),
    ],
)
def test_caches_count_and_go_with_the_last_work_folder_of_their_data_set(
    engine: Engine, tmp_path: Path, limits: Any, kept: list[int], cached: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with_cache(engine, tmp_path, {0: "a", 1: "a", 2: "b", 3: "b", 4: "c"})
    with caplog.at_level(logging.INFO, "fakeprint.service.jobs.quota"):
        quota.enforce_quota(engine, Settings(folder=tmp_path, **limits))
    assert (left(tmp_path), caches(tmp_path)) == (kept, cached)
    line = "DVC's caches of 1 data sets were removed with their last work folders"
    assert (line in caplog.messages) == ("a" not in cached)


@pytest.mark.parametrize("state", ["queued", "running", "cancelling", "failed"])
def test_the_cache_of_a_job_that_waits_or_runs_stays(engine: Engine, tmp_path: Path, state: str) -> None:
    with_cache(engine, tmp_path, {0: "a", 3: "b", 5: "a"})
    with writing(engine) as session:
        session.get_one(StoredJob, IDS[5]).state = state  # it has no work folder
    quota.enforce_quota(engine, Settings(folder=tmp_path, kept_jobs=1))
    assert caches(tmp_path) == (["b"] if state == "failed" else ["a", "b"])


def test_the_cache_of_a_job_that_is_queued_meanwhile_stays(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cache(engine, tmp_path, {0: "a", 3: "b"})

    @contextmanager
    def queued_before(locked: Engine) -> Iterator[Any]:
        with writing(engine) as session:
            session.get_one(StoredJob, IDS[5]).dataset = "a" * 32
        with writing(engine) as session:
            yield session

    monkeypatch.setattr(quota, "writing", queued_before)
    quota.enforce_quota(engine, Settings(folder=tmp_path, kept_jobs=1))
    assert (left(tmp_path), caches(tmp_path)) == ([3, 4], ["a", "b"])


@pytest.mark.parametrize("by_setting", [True, False])
def test_a_model_in_use_stays(engine: Engine, tmp_path: Path, by_setting: bool) -> None:
    name = f"{MODEL}{IDS[0]}"
    if not by_setting:
        with writing(engine) as session:
            reference = {"source": "folder", "name": name, "version": None}
            session.add(ServingModel(id=1, reference=reference, revision=1, changed=now()))
    quota.enforce_quota(engine, Settings(folder=tmp_path, kept_jobs=1, model=name if by_setting else None))
    assert left(tmp_path) == [0, 3, 4]


@pytest.mark.slow
def test_a_job_without_folder_keeps_its_figures_and_has_no_model(engine: Engine, tmp_path: Path) -> None:
    settings = Settings(folder=tmp_path, kept_jobs=1, workers=0)
    assert as_answer(find(engine, IDS[0], None, True)).model == f"{MODEL}{IDS[0]}"
    quota.enforce_quota(engine, settings)
    job = as_answer(find(engine, IDS[0], None, True))
    assert (job.state, job.model, job.metrics) == ("succeeded", None, {"accuracy": 0.5})
    assert not folder_of_job(settings, IDS[0]).exists()
    with TestClient(create_app(settings)) as client:
        assert client.get(f"/jobs/{IDS[0]}/log").text == ""
        refused = client.post("/set", json={"name": f"{MODEL}{IDS[0]}"})
    assert refused.status_code == 422
    line = f"the job '{IDS[0]}' has no model; it has one from its success until its files are removed"
    assert refused.json()["detail"] == line
