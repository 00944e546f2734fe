"""What becomes of a run when its server is overloaded, slow, or away for a while."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import requests

from fakeprint import params, tracking
from fakeprint.evaluation.report import write_contents
from fakeprint.files import write_json
from fakeprint.tracking import background, session
from fakeprint.tracking.connection import import_mlflow, is_local, masked
from fakeprint.tracking.origin import this_process
from tests.tracking.conftest import DATASET, Server, free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def own(settings: params.Params, request: pytest.FixtureRequest) -> params.Params:
    """Settings with an experiment of the test's own."""
    return settings.model_copy(
        update={"tracking": settings.tracking.model_copy(update={"experiment": request.node.name})}
    )


def runs(server: Server, own: params.Params) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(server.behind)
    experiment = client.get_experiment_by_name(own.tracking.experiment)
    return client.search_runs([experiment.experiment_id]) if experiment else []


def curve(server: Server, run: Any) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    history = MlflowClient(server.behind).get_metric_history(run.info.run_id, "train_loss")
    return [(point.step, point.value) for point in history]


def network(own: params.Params) -> Any:
    """A training of the network hist_cnn, of which no file is written."""
    return tracking.training_run(own, "hist_cnn", "a checkpoint")


def evaluated() -> None:
    """The files of the network's evaluation."""
    write_json("metrics/hist_cnn/evaluate.json", {"accuracy": 0.5})
    write_contents("hist_cnn", [Path("metrics/hist_cnn/evaluate.json")])


def written(epochs: int) -> Path:
    """The files of the trained network."""
    folder = Path("models/hist_cnn")
    folder.mkdir(parents=True)
    write_json(folder / "model.json", {"name": "hist_cnn", "kind": "network", "dataset": asdict(DATASET)})
    history = Path("metrics/hist_cnn/history.csv")
    history.parent.mkdir(parents=True)
    rows = [f"{epoch},{1 / epoch}\n" for epoch in range(1, epochs + 1)]
    history.write_text("epoch,train_loss\n" + "".join(rows))
    return folder


def test_a_server_that_is_overloaded_for_a_moment(
    server: Server, own: params.Params, capfd: pytest.CaptureFixture[str]
) -> None:
    refused = set()

    def once_each(path: str) -> int | None:
        if path in refused:
            return None
        refused.add(path)
        return 503

    server.meddle = once_each
    with network(own) as run:
        run.log_epoch({"train_loss": 1.0}, 1)
        run.log_epoch({"train_loss": 0.5}, 2)
    (only,) = runs(server, own)
    assert only.info.status == "FINISHED"
    assert curve(server, only) == [(1, 1.0), (2, 0.5)]
    assert only.data.params["train.lr"] == "0.002"
    assert {path.rpartition("/")[2] for path in refused} >= {"create", "log-batch", "update"}
    assert capfd.readouterr() == ("", "")


def test_a_run_has_its_tags_from_the_start(server: Server, own: params.Params) -> None:
    """A run without the tag of its process would be taken for that of a dead one by the next worker."""
    first: list[dict[str, str]] = []

    def meddle(path: str) -> None:
        if path.endswith("runs/log-batch") and not first:
            first.extend(run.data.tags for run in runs(server, own))

    server.meddle = meddle
    with network(own):
        pass
    assert first[0]["fakeprint.process"] == this_process()
    assert {"mlflow.user", "model.kind", "dvc.experiment.workspace", "fakeprint.checkpoint"} <= set(first[0])


def test_a_slow_server_gets_each_run_once(server: Server, own: params.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    slow = ["runs/create", "runs/log-batch"]

    def meddle(path: str) -> None:
        for part in slow:
            if path.endswith(part):
                slow.remove(part)
                time.sleep(6)  # MLflow has given up by then and sends the request again; the server carries out both
                return

    server.meddle = meddle
    with network(own) as run:
        run.log_epoch({"train_loss": 1.0}, 1)
    assert slow == []
    assert [path for path in server.paths if path.endswith("runs/create")] == ["/api/2.0/mlflow/runs/create"] * 2
    (only,) = runs(server, own)
    assert only.info.status == "FINISHED"
    assert curve(server, only) == [(1, 1.0)]


def test_a_server_that_is_slow_gets_all_of_a_record(
    server: Server, own: params.Params, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tracking.record(own, [])  # makes the experiment
    monkeypatch.setattr(background, "PATIENCE", 0.1)
    monkeypatch.setattr(background, "LAST_TRY", 0.1)
    slow = ["runs/create", "runs/update"]

    def meddle(path: str) -> None:
        for part in slow:
            if path.endswith(part):
                slow.remove(part)
                time.sleep(2)
                return

    server.meddle = meddle
    written(1)
    evaluated()
    tracking.record(own, ["hist_cnn"])
    (only,) = runs(server, own)
    assert slow == [] and only.info.status == "FINISHED"
    assert only.data.metrics["accuracy"] == 0.5
    content: dict[str, Any] = {"about": {}, "aggregates": {}, "table": [], "files": [], "cells": {}}
    slow += ["runs/create"]
    tracking.record_study(own, "flips", **content)
    assert slow == [] and [run.info.status for run in runs(server, own)] == ["FINISHED"] * 2
    assert capfd.readouterr() == ("", "")


def test_how_long_a_stage_waits_that_only_logs(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def away(_: object) -> None:
        raise requests.ConnectionError("no route")

    def spent(task: Callable[[object], object]) -> float:
        since = time.monotonic()
        with background.Background("mine") as sending:
            sending.finish(task)
        return time.monotonic() - since

    spent(lambda session: None)  # the import of MLflow
    monkeypatch.setattr(background, "PATIENCE", 1.0)
    monkeypatch.setattr(background, "LAST_TRY", 0.5)
    assert 1 <= spent(away) < 30
    assert "no route" in capfd.readouterr().err
    monkeypatch.setattr(background, "RETRY_FOR", 2.0)
    freed = threading.Event()
    assert 3.5 <= spent(lambda session: freed.wait(60)) < 30
    assert "still busy after 4 s" in capfd.readouterr().err
    freed.set()


def test_a_server_that_dies_and_comes_back_while_the_stage_works(
    server: Server,
    own: params.Params,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server.down()
    with network(own) as run:
        for epoch in (1, 2):
            run.log_epoch({"train_loss": 1 / epoch}, epoch)
        time.sleep(1)
        server.up()
        until(lambda: curve_of(server, own) == [(1, 1.0), (2, 0.5)])
        server.down()
        run.log_epoch({"train_loss": 0.25}, 4)
        run.finish(written(4))
        time.sleep(1)
        threading.Timer(1, server.up).start()
    (only,) = runs(server, own)
    assert only.info.status == "FINISHED"
    assert curve(server, only) == [(1, 1.0), (2, 0.5), (4, 0.25)]
    assert capfd.readouterr() == ("", "")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def curve_of(server: Server, own: params.Params) -> list[tuple[int, float]]:
    return [point for run in runs(server, own) for point in curve(server, run)]


def test_a_run_whose_server_stayed_away_is_completed_later(
    server: Server,
    own: params.Params,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(background, "PATIENCE", 0.5)
    with network(own) as run:
        run.log_epoch({"train_loss": 1.0}, 1)
        until(lambda: curve_of(server, own) == [(1, 1.0)])
        server.down()
        for epoch in (2, 3):
            run.log_epoch({"train_loss": 1 / epoch}, epoch)
        folder = written(3)
        run.finish(folder)
    printed, errors = capfd.readouterr()
    assert printed == ""
    assert len(errors.splitlines()) == 1
    assert errors.startswith(f"warning: MLflow at {server.address} is not used from here on: ")
    assert [run.info.status for run in runs(server, own)] == ["RUNNING"]
    evaluated()
    tracking.record(own, ["hist_cnn"])
    assert len(capfd.readouterr().err.splitlines()) == 1  # still away

    server.up()
    tracking.record(own, ["hist_cnn"])
    (only,) = runs(server, own)
    assert only.info.status == "FINISHED"
    assert curve(server, only) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert only.data.metrics["accuracy"] == 0.5
    assert "fakeprint.origin" not in only.data.tags
    assert capfd.readouterr() == ("", "")


def test_what_mlflow_refuses_ends_the_tracking_and_the_run_is_ended_still(
    server: Server, own: params.Params, capfd: pytest.CaptureFixture[str]
) -> None:
    with network(own) as run:
        run.log_epoch({"train_loss": 1.0}, 1)
        run.log_epoch({"train?loss": 1.0}, 1)
        run.log_epoch({"train_loss": 0.5}, 2)
        folder = written(2)
        run.finish(folder)
    errors = capfd.readouterr().err
    assert len(errors.splitlines()) == 1 and "train?loss" in errors
    assert [run.info.status for run in runs(server, own)] == ["FINISHED"]
    evaluated()
    tracking.record(own, ["hist_cnn"])
    (only,) = runs(server, own)
    assert curve(server, only) == [(1, 1.0), (2, 0.5)]
    assert only.data.metrics["accuracy"] == 0.5


def test_a_server_that_is_not_there_is_one_warning_without_the_password(
    own: params.Params, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:se@cret@{address}")
    tracking.record(own, ["lda"])
    errors = capfd.readouterr().err
    assert len(errors.splitlines()) == 1
    assert errors.startswith(f"warning: MLflow at http://***@{address} is not used from here on: ")
    assert "cret" not in errors and "anna" not in errors


def test_a_password_at_the_end_of_a_long_reason_is_not_shown(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reason = "x" * 170 + " postgresql://anna:secret-secret-secret@127.0.0.1/runs"
    with background.Background("mine") as sending:

        def task(_: object) -> None:
            raise ValueError(reason)

        sending.send(task)
    errors = capfd.readouterr().err
    assert "x postgresql://***@127.0.0.1/" in errors
    assert "anna" not in errors and "secret" not in errors


def test_a_request_without_an_answer_ends_after_seconds(bare_clone: Path) -> None:
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT

    import_mlflow()
    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 15


def test_a_run_ends_while_its_system_metrics_wait_for_an_answer(
    server: Server, own: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "90")
    monkeypatch.setattr(session, "MONITOR_STOPS", 0.1)
    armed, hangs, answer = threading.Event(), threading.Event(), threading.Event()
    waited: list[bool] = []

    def meddle(path: str) -> None:
        if path.endswith("runs/get") and armed.is_set() and not hangs.is_set():
            hangs.set()
            waited.append(answer.wait(60))

    server.meddle = meddle
    with network(own) as run:
        run.log_epoch({"train_loss": 1.0}, 1)
        until(lambda: curve_of(server, own) == [(1, 1.0)])
        armed.set()  # from here on, only the monitor's thread asks for the run
        assert hangs.wait(60)
    assert waited == []
    assert [run.info.status for run in runs(server, own)] == ["FINISHED"]
    answer.set()


def test_two_processes_at_once_make_one_run(server: Server, own: params.Params) -> None:
    both = threading.Barrier(2)

    def meddle(path: str) -> None:
        if path.endswith("runs/search"):
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(2)  # until the other one searches, too

    tracking.record(own, [])  # makes the experiment
    server.meddle = meddle
    written(1)
    evaluated()
    pair = [threading.Thread(target=tracking.record, args=[own, ["hist_cnn"]]) for _ in range(2)]
    for one in pair:
        one.start()
    for one in pair:
        one.join()
    (only,) = runs(server, own)
    assert only.data.metrics["accuracy"] == 0.5


def test_a_restored_run_names_its_origin_though_a_request_failed(
    server: Server, own: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    refused: list[str] = []

    def meddle(path: str) -> int | None:
        if path.endswith("runs/log-batch") and not refused:
            refused.append(path)
            return 503
        return None

    server.meddle = meddle
    written(1)
    evaluated()
    tracking.record(own, ["hist_cnn"])
    (only,) = runs(server, own)
    assert refused and only.info.status == "FINISHED"
    assert only.data.tags["fakeprint.origin"].startswith("made from files")


def test_what_is_masked_and_what_is_local() -> None:
    assert masked("at postgresql://u:p/w@h:5432/db and http://h/a") == "at postgresql://***@h:5432/db and http://h/a"
    assert is_local("sqlite:////a/mlflow.db")
    for uri in ("postgresql://u:p@h/db", "mysql+pymysql://h/db", "http://h", "https://h", "databricks"):
        assert not is_local(uri)
