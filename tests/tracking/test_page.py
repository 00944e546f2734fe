"""The page that `fakeprint ui` opens."""

import json
from pathlib import Path

import pytest

from fakeprint import params, tracking
from fakeprint.errors import InputError

pytestmark = pytest.mark.slow


def test_the_page_is_of_the_configured_experiment(settings: params.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd() / 'mlflow.db'}")
    known = client.create_experiment("mine")  # as users have them: no description, another number
    page = tracking.page("mine", 5001)
    start, _, key = page.partition("&viewStateShareKey=")
    assert start == f"http://127.0.0.1:5001/#/experiments/{known}/runs?workflowType=machine_learning"
    tags = client.get_experiment(known).tags
    assert "validation" in tags["mlflow.note.content"]
    view = json.loads(tags[f"mlflow.sharedViewState.{key}"])
    assert view["orderByKey"] == "metrics.`accuracy`" and view["orderByAsc"] is False
    assert [column.split("`")[1] for column in view["selectedColumns"]] == ["accuracy", "worst_accuracy", "log_loss"]
    assert (tracking.server(5001) or [])[-1] == f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def test_a_server_that_is_not_there_is_one_line(settings: params.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:secret@127.0.0.1:9")
    with pytest.raises(InputError, match=r"^MLflow at http://\*\*\*@127\.0\.0\.1:9 cannot be used: ") as error:
        tracking.page("mine", 5001)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
    assert tracking.server(5001) is None
