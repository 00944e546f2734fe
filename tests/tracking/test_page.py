"""The page that `fakeprint ui` opens."""

import argparse
import json
from pathlib import Path

import pytest

from fakeprint import params, tracking
from fakeprint.commands import ui
from fakeprint.errors import InputError
from tests.tracking.conftest import Server

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
    _, environment = tracking.server(5001) or ([], {})
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def test_a_server_that_is_not_there_is_one_line(settings: params.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:secret@127.0.0.1:9")
    with pytest.raises(InputError, match=r"^MLflow at http://\*\*\*@127\.0\.0\.1:9 cannot be used: ") as error:
        tracking.page("mine", 5001)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
    assert tracking.server(5001) is None


def test_the_page_of_a_server_is_printed_without_the_password(
    server: Server, settings: params.Params, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address.replace("://", "://anna:se@cret@") + "/")
    ui.run(argparse.Namespace(port=5001))
    printed = capfd.readouterr().out
    assert printed.startswith(f"MLflow: {server.address}/#/experiments/")
    assert "anna" not in printed and "cret" not in printed


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "mysql+pymysql", "mssql+pyodbc"])
def test_a_database_is_served_here_and_its_password_is_no_word_of_the_command(
    scheme: str, settings: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{scheme}://anna:secret@127.0.0.1:9/runs"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    command, environment = tracking.server(5001) or ([], {})
    assert command[1:4] == ["-m", "mlflow", "ui"]
    assert "secret" not in " ".join(command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == uri
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true")
    _, environment = tracking.server(5001) or ([], {})
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "true"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [("file:///runs", "file:///runs"), ("databricks", "databricks"), ("s3://a:secret@b", "s3://***@b")],
)
def test_an_address_that_has_no_page_is_one_line(
    uri: str, shown: str, settings: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError) as error:
        ui.run(argparse.Namespace(port=5001))
    assert str(error.value) == (
        f"MLFLOW_TRACKING_URI: there is no page for '{shown}'; "
        "name an address of http, https, sqlite, postgresql, mysql, mssql"
    )


def test_a_bracket_in_a_password_is_one_line(settings: params.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:pa[ss@127.0.0.1:5000")
    with pytest.raises(InputError) as error:
        ui.run(argparse.Namespace(port=5001))
    assert str(error.value) == (
        "MLFLOW_TRACKING_URI: 'http://***@127.0.0.1:5000' is no valid address; "
        "write [ and ] in a password as %5B and %5D"
    )
