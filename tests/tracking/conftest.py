"""A workspace with an MLflow database of its own, and a real MLflow server."""

import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from fakeprint import params
from fakeprint.data.arrays import Dataset
from fakeprint.files import write_json
from fakeprint.tracking import background

ROOT = Path(__file__).parents[2]
DATASET = Dataset(["0", "1"], ["red", "green"], image_size=8, resize="squash", max_pixels=10**6)


@pytest.fixture
def bare_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a space in its name, params.yaml, arrays and a model; no database, no MLflow of the user's own."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW", "DVC", "GIT"))]:
        monkeypatch.delenv(name)
    root = tmp_path / "a clone"
    (root / "data/arrays").mkdir(parents=True)
    (root / "params.yaml").write_bytes((ROOT / "presets/demo.yaml").read_bytes())
    (root / "data/arrays/train.npy").write_bytes(b"train")
    write_json(root / "models/lda/model.json", {"name": "lda", "kind": "classifier", "dataset": asdict(DATASET)})
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def clone(bare_clone: Path, migrated: Path) -> Path:
    """The same with a database."""
    shutil.copy2(migrated, bare_clone)
    return bare_clone


@pytest.fixture
def settings(clone: Path) -> params.Params:
    return params.load()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Server:
    """A real MLflow server behind a proxy that can be away for a while.

    `meddle(path)` comes before each request: it may sleep, or return a status to answer with instead, such as 503.
    """

    def __init__(self, behind: str) -> None:
        self.behind, self.port = behind, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.meddle: Callable[[str], int | None] = lambda path: None
        self.paths: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.paths.append(path)
        status, content = self.meddle(path), b""
        if status is None:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            url = f"{self.behind}{path}?{environ['QUERY_STRING']}"
            answer = requests.request(
                environ["REQUEST_METHOD"], url, data=body, headers={"Content-Type": environ.get("CONTENT_TYPE", "")}
            )
            status, content = answer.status_code, answer.content
        start_response(f"{status} -", [("Content-Length", str(len(content)))])
        return [content]

    def up(self) -> None:
        self.listening = make_server("127.0.0.1", self.port, self, threaded=True)
        threading.Thread(target=self.listening.serve_forever, args=[0.01], daemon=True).start()

    def down(self) -> None:
        self.listening.shutdown()
        self.listening.server_close()


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[str]:
    """The address of an MLflow server that all tests share."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    shutil.copy2(migrated, folder)
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        command = [sys.executable, Path(__file__).with_name("mlflow_server.py"), folder, str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    end = time.monotonic() + 300
    while True:
        try:
            requests.get(f"{address}/health", timeout=5)
            break
        except requests.RequestException:
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.2)
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def server(real_server: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server that MLFLOW_TRACKING_URI names; its database holds the experiments of other tests too."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    monkeypatch.setattr(background, "LAST_TRY", 60.0)  # other tests may keep the machine busy
    server = Server(real_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    server.up()
    yield server
    server.down()
