"""The address of the experiment's page, and the command that serves it."""

import sys

from fakeprint.errors import InputError
from fakeprint.tracking.connection import connect, import_mlflow, is_local, masked, tracking_uri
from fakeprint.tracking.experiment import VIEW


def page(experiment: str, port: int) -> str:
    """The address of the experiment's runs, the most accurate first, on the server or on a local one at this port.

    Creates the experiment where there is none. Raises InputError where MLflow cannot be reached.
    """
    uri = tracking_uri()
    try:
        import_mlflow()
        _, experiment_id = connect(experiment)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(masked(f"MLflow at {uri} cannot be used: {reason}")) from None
    root = f"http://127.0.0.1:{port}" if is_local(uri) else uri.rstrip("/")
    return f"{root}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"


def server(port: int) -> list[str] | None:
    """The command that serves the local database at this port; None where MLFLOW_TRACKING_URI names a server."""
    if not is_local(tracking_uri()):
        return None
    # One worker is enough for one person, and starts faster than MLflow's four.
    here = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--backend-store-uri", tracking_uri()]
    return [sys.executable, "-m", "mlflow", "ui", *here]
