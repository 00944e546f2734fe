"""MLflow's own web application on a port of this machine: `mlflow server` without its workers, which start slowly."""

import os
import sys

from werkzeug.serving import run_simple

folder, port = sys.argv[1:]
os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{folder}/mlflow.db"
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = f"{folder}/served"
os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"

from mlflow.server import app  # noqa: E402 it reads the environment

run_simple("127.0.0.1", int(port), app, threaded=True)
