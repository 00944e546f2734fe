"""The address of the experiment's page, and the command that serves it."""

import os
import sys
from urllib.parse import urlsplit, urlunsplit

from fakeprint.errors import InputError
from fakeprint.tracking.connection import connect, import_mlflow, masked, tracking_uri
from fakeprint.tracking.experiment import VIEW

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # what MLflow's server can keep runs in


def page(experiment: str, port: int) -> str:
    """The address of the experiment's runs, the most accurate first, on the server or on a local one at this port.

    Without the user and password of the server's address. Creates the experiment where there is none. Raises InputError
    where MLflow cannot be reached, and where MLFLOW_TRACKING_URI names neither a server nor a database.
    """
    uri = tracking_uri()
    root = f"http://127.0.0.1:{port}" if _is_database(uri) else _without_user(uri)
    try:
        import_mlflow()
        _, experiment_id = connect(experiment)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(masked(f"MLflow at {uri} cannot be used: {reason}")) from None
    return f"{root}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"


def server(port: int) -> tuple[list[str], dict[str, str]] | None:
    """The command that serves the database at this port, and its environment; None where there is a server already.

    The database's address is in the environment, since every user of the machine can read the words of a command.
    """
    if not _is_database(tracking_uri()):
        return None
    # One worker is enough for one person, and starts faster than MLflow's four.
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return command, {**os.environ, "MLFLOW_BACKEND_STORE_URI": tracking_uri()}


def _is_database(uri: str) -> bool:
    return _scheme(uri).partition("+")[0] in DATABASES


def _without_user(uri: str) -> str:
    if _scheme(uri) not in ("http", "https"):
        known = ", ".join(("http", "https", *DATABASES))
        raise InputError(f"MLFLOW_TRACKING_URI: there is no page for '{masked(uri)}'; name an address of {known}")
    parts = urlsplit(uri.rstrip("/"))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].lower()
