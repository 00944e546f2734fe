"""The addresses of the experiment's page and of a study's comparison, and the command that serves them."""

import json
import os
import sys
from urllib.parse import quote, urlsplit, urlunsplit

from fakeprint.errors import InputError
from fakeprint.tracking.connection import import_mlflow, masked, tracking_uri
from fakeprint.tracking.experiment import VIEW
from fakeprint.tracking.session import Session
from fakeprint.tracking.studies import member_tag

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # what MLflow's server can keep runs in


def page(experiment: str, port: int) -> str:
    """The address of the experiment's runs, the most accurate first, on the server or on a local one at this port.

    Without the user and password of the server's address. Creates the experiment where there is none. Raises InputError
    where MLflow cannot be reached, and where MLFLOW_TRACKING_URI names neither a server nor a database.
    """
    root = _root(port)
    experiment_id = _session(experiment).experiment_id
    return f"{root}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"


def compare_page(experiment: str, study: str, port: int) -> str:
    """The address of MLflow's comparison of all runs of a study, as `page` gives that of the experiment.

    Raises InputError where `page` does, and if fewer than two runs belong to the study.
    """
    root, session = _root(port), _session(experiment)
    runs = [run.info.run_id for run in reversed(session.runs(f"tags.`{member_tag(study)}` != ''"))]
    if len(runs) < 2:
        raise InputError(
            f"{study}: MLflow has {len(runs)} run{'s' * (len(runs) != 1)} of this study, and a comparison needs two; "
            f"`fakeprint study report {study}` attaches the runs of its finished cells"
        )
    listed, of = (quote(json.dumps(ids, separators=(",", ":"))) for ids in (runs, [session.experiment_id]))
    return f"{root}/#/compare-runs?runs={listed}&experiments={of}"


def _root(port: int) -> str:
    uri = tracking_uri()
    return f"http://127.0.0.1:{port}" if _is_database(uri) else _without_user(uri)


def _session(experiment: str) -> Session:
    try:
        import_mlflow()
        return Session(experiment)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(masked(f"MLflow at {tracking_uri()} cannot be used: {reason}")) from None


def server(port: int) -> tuple[list[str], dict[str, str]] | None:
    """The command that serves the database at this port, and its environment; None where there is a server already.

    The database's address is in the environment, since every user of the machine can read the words of a command.
    """
    if not _is_database(tracking_uri()):
        return None
    # One worker is enough for one person, and starts faster than MLflow's four.
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Its jobs score language models' traces. Their eight processes would take longer to start than the page.
    jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return command, {**jobs, **os.environ, "MLFLOW_BACKEND_STORE_URI": tracking_uri()}


def _is_database(uri: str) -> bool:
    return "://" in uri and uri.lower().startswith(DATABASES)


def _without_user(uri: str) -> str:
    if not uri.lower().startswith(("http://", "https://")):
        known = ", ".join(("http", "https", *DATABASES))
        raise InputError(f"MLFLOW_TRACKING_URI: there is no page for '{masked(uri)}'; name an address of {known}")
    try:
        parts = urlsplit(uri.rstrip("/"))
    except ValueError:  # brackets are for IPv6 addresses
        raise InputError(
            f"MLFLOW_TRACKING_URI: '{masked(uri)}' is no valid address; write [ and ] in a password as %5B and %5D"
        ) from None
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
