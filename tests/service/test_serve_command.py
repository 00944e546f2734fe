"""`fakeprint serve` and `fakeprint keys`: a real server, its end, its workers, and what it refuses."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fakeprint.__main__ import main
from fakeprint.commands.serve import bound
from fakeprint.service.client import ApiError, Client
from fakeprint.service.workers import Workers
from tests.service.running import encoded, models_folder, pictures

assert models_folder  # a fixture

IMAGE = encoded(pictures(1)[0][0])


class Served:
    """A server in a process of its own."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fakeprint", "serve", "--port", "0", "--workers", "0", *words],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
            )
        assert self.process.stdout is not None
        self.url = re.findall(r"http://\S+", self.process.stdout.readline())[0]

    def until_ready(self) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                Client(self.url).get("/ready")
                return
            except ApiError:
                assert time.monotonic() < until and self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Served]:
    """Shared: the last of its tests stops it."""
    server = Served(tmp_path_factory.mktemp("served"), "--models-folder", str(models_folder))
    yield server
    server.process.kill()
    server.process.wait()


@pytest.mark.slow
def test_a_refused_body_gets_its_answer(served: Served) -> None:
    """The connection is not cut while the client still sends."""
    with pytest.raises(ApiError, match="the body is larger than 64 MiB"):
        Client(served.url).predict([("a.png", bytes(65 * 2**20))])


@pytest.mark.slow
def test_it_serves_until_a_signal_stops_it(served: Served) -> None:
    assert Client(served.url).get("/health")["status"] == "ok"
    served.until_ready()
    answer = Client(served.url).predict([("a.png", IMAGE)])
    assert answer["model"]["name"] == "champion"
    assert answer["images"][0]["status"] == "answered"
    with pytest.raises(ApiError, match="more than 128 images in one request") as raised:
        Client(served.url).predict([("a.png", IMAGE)] * 129)
    assert raised.value.status == 413
    # Without an address in the log nobody could be found who sends too much.
    (predicted,) = [line for line in served.lines() if line.get("path") == "/predict" and line["status"] == 200]
    assert (predicted["client"], predicted["method"]) == ("127.0.0.1", "POST")

    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
        # A request that is under way when the server is told to stop gets its answer.
        body = b'{"images": [{"content": "QUJD"}]}'
        about = f"Host: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        head = f"POST /predict HTTP/1.1\r\n{about}\r\n\r\n"
        connection.sendall(head.encode() + body[:5])
        time.sleep(0.5)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[5:])
        assert b"not an image" in b"".join(iter(lambda: connection.recv(65536), b""))
    assert served.process.wait(30) in (0, -signal.SIGTERM)
    assert "Finished server process" in served.lines()[-1]["message"]


@pytest.mark.slow
@pytest.mark.parametrize("by_option", [True, False])
def test_the_model_of_a_job_serves_by_its_setting_and_its_workers_know_it_until_ctrl_c(
    tmp_path: Path, models_folder: Path, by_option: bool
) -> None:
    name = f"job:{'a' * 32}"
    made = tmp_path / ".fakeprint" / "service" / "jobs" / ("a" * 32) / "models" / "champion"
    shutil.copytree(models_folder / "champion", made)
    words, environment = (["--model", name], {}) if by_option else ([], {"FAKEPRINT_MODEL": name})
    server = Served(tmp_path, "--workers", "1", *words, **environment)
    try:
        server.until_ready()
        assert Client(server.url).get("/ready")["model"]["name"] == name
        (worker,) = psutil.Process(server.process.pid).children()
        assert worker.environ()["FAKEPRINT_MODEL"] == name
    finally:
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal sends it: to all processes of the group
    assert server.process.wait(30) == 0
    lines = server.lines()  # none of them of a traceback
    assert "Finished server process" in lines[-1]["message"]
    assert {line["level"] for line in lines} == {"info"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_workers_end_with_it(tmp_path: Path, models_folder: Path, number: signal.Signals) -> None:
    server = Served(tmp_path, "--models-folder", str(models_folder), "--workers", "1")
    process, workers = psutil.Process(server.process.pid), []
    try:
        until = time.monotonic() + 60
        while not workers:
            assert time.monotonic() < until and server.process.poll() is None, server.log.read_text()
            workers = process.children()
            time.sleep(0.1)
    finally:
        server.process.send_signal(number)
    assert server.process.wait(30) == (0 if number == signal.SIGTERM else -number)
    assert not psutil.wait_procs(workers, timeout=30)[1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["serve", "--model", "ldda"], "--model: 'ldda' is neither in models nor a model that comes with Fakeprint"),
        (["serve", "--model", "job:1"], "there is no job '1'"),
        (
            ["serve", "--model", f"job:{'0' * 32}"],
            f"the job '{'0' * 32}' has no model; it has one from its success until",
        ),
        (["serve", "--device", "gpu"], "--device: 'gpu' is unknown; known: auto, cpu, cuda, cuda:N, mps"),
        (["serve", "--port", "99999"], "--port: Input should be less than or equal to 65535"),
        (["serve", "--workers", "-1"], "--workers: Input should be greater than or equal to 0"),
        (["serve", "--host", "203.0.113.9"], "serve: 203.0.113.9 can be reached from elsewhere, so API keys are"),
        (["serve", "--host", "no such host"], "serve: no such host can be reached from elsewhere"),
        (["keys", "add", "a b"], "keys: 'a b' is no name for a key: letters, digits, . _ @ -, at most 64 of them"),
        (["keys", "add", "me", "--scopes", "predict,root"], "--scopes: 'root' is unknown; known: predict, fit, admin"),
        (["keys", "revoke", "me"], "there is no key 'me'"),
    ],
)
def test_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, words: list[str], line: str
) -> None:
    assert refusal(tmp_path, monkeypatch, capsys, *words).startswith(f"error: {line}")


def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: str) -> str:
    """The one line with which the command ends."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["fakeprint", *words])
    with pytest.raises(SystemExit, match="1"):
        main()
    (line,) = capsys.readouterr().err.splitlines()
    return str(line)


def test_wrong_variables_and_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = refusal(tmp_path, monkeypatch, capsys, "serve", "--port", port)
        why = "(Address already in use); choose another with --host or --port"
        assert line == f"error: serve: cannot listen on 127.0.0.1:{port} {why}"
    monkeypatch.setenv("FAKEPRINT_RATE", "often")
    assert refusal(tmp_path, monkeypatch, capsys, "serve") == "error: rate: 'often' is not a rate such as 600/minute"
    monkeypatch.setenv("FAKEPRINT_MAX_FILES", "many")
    line = refusal(tmp_path, monkeypatch, capsys, "serve")
    assert line.startswith("error: FAKEPRINT_MAX_FILES: Input should be a valid integer")


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("nonsense", "a URL such as postgresql+psycopg://USER:PASSWORD@HOST/DATABASE is needed"),
        ("postgresql+psycopg://me:secret@127.0.0.1:five/x", "a URL such as postgresql+psycopg://USER:PASSWORD@HOST"),
        (
            "mysql://me:secret@127.0.0.1/x",
            "a URL such as postgresql+psycopg://USER:PASSWORD@HOST/DATABASE is needed, or ",
        ),
        (
            "postgresql+psycopg://me:a@secret@127.0.0.1/x",
            "there is an @ in the user's name or password; write it as %40",
        ),
        (
            "postgresql+none://me:secret@127.0.0.1/x",
            "the library for postgresql+none:// is not installed; write postgr",
        ),
        ("postgresql+pg8000://me:secret@127.0.0.1/x", "the library for postgresql+pg8000:// is not installed; write p"),
        pytest.param(
            "postgresql+psycopg://me:secret@127.0.0.1:1/x",
            'the database cannot be used (connection failed: connection to server at "127.0.0.1", port 1 failed: '
            "Connection refused)",
            marks=pytest.mark.slow,
        ),
        ("sqlite:///nowhere/service.db", "the database cannot be used (unable to open database file)"),
    ],
)
def test_a_database_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, url: str, line: str
) -> None:
    monkeypatch.setenv("FAKEPRINT_DATABASE", url)
    for words in (["serve"], ["keys", "list"], ["worker", "--drain"]):
        found = refusal(tmp_path, monkeypatch, capsys, *words)
        assert found.startswith(f"error: FAKEPRINT_DATABASE: {line}")
        assert "secret" not in found


def test_a_folder_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "service.db").write_text("no database " * 100)
    for words in (["serve"], ["keys", "list"], ["worker", "--drain"]):
        line = refusal(tmp_path, monkeypatch, capsys, *words, "--folder", "file")
        why = "file cannot be used (File exists); name another folder"
        assert line == f"error: FAKEPRINT_FOLDER or --folder: {why}"
        line = refusal(tmp_path, monkeypatch, capsys, *words, "--folder", "other")
        why = f"{tmp_path}/other/service.db: the database cannot be used (file is not a database)"
        assert line == f"error: FAKEPRINT_FOLDER or --folder: {why}"


def test_a_trust_list_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("FAKEPRINT_TRUST", "gone.pem")
    line = "error: FAKEPRINT_TRUST: gone.pem is not a regular file"
    assert refusal(tmp_path, monkeypatch, capsys, "serve") == line
    monkeypatch.setitem(sys.modules, "c2pa", None)
    line = "error: FAKEPRINT_TRUST needs the package c2pa-python: `pip install 'fakeprint[evidence]'`"
    assert refusal(tmp_path, monkeypatch, capsys, "serve") == line


def test_what_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for package, words in (("uvicorn", ["serve"]), ("sqlalchemy", ["keys", "list"]), ("sqlalchemy", ["worker"])):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, package, None)
            line = refusal(tmp_path, patched, capsys, *words)
        assert line == f"error: {words[0]}: {package} is not installed: `pip install 'fakeprint[service]'`"


def test_keys_are_made_listed_and_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["fakeprint", "keys", *words, "--folder", "service"])
        main()
        return str(capsys.readouterr().out)

    key = call("add", "app", "--scopes", "fit, predict").strip()
    assert re.fullmatch(r"fp_[A-Za-z0-9_-]{43}", key)
    call("add", "me", "--scopes", "admin")
    assert call("list").splitlines() == ["app  predict,fit", "me  admin"]
    assert key.encode() not in (tmp_path / "service" / "service.db").read_bytes()
    assert (tmp_path / "service").stat().st_mode & 0o077 == 0
    assert refusal(tmp_path, monkeypatch, capsys, "keys", "add", "me", "--folder", "service") == (
        "error: there is a key 'me' already; revoke it first, or take another name"
    )
    assert call("revoke", "me") == "revoked: me\n"
    assert call("list").splitlines() == ["app  predict,fit"]


@pytest.mark.slow
def test_a_worker_that_dies_is_started_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The double notes its number, and lives until it is told to stop."""
    double = (
        "import os, pathlib, signal, sys, time\n"
        "def stop(*_):\n    pathlib.Path('stopped', str(os.getpid())).touch(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "pathlib.Path('stopped').mkdir(exist_ok=True)\n"
        "pathlib.Path('started').mkdir(exist_ok=True)\n"
        "pathlib.Path('started', str(os.getpid())).touch()\n"
        "time.sleep(60)\n"
    )
    started = tmp_path / "started"

    def until(count: int) -> None:
        limit = time.monotonic() + 30
        while not started.exists() or len(list(started.iterdir())) < count:
            assert time.monotonic() < limit
            time.sleep(0.02)

    code = f"import os; os.chdir({str(tmp_path)!r})\n{double}"
    with Workers(2, [sys.executable, "-c", code], dict(os.environ), pause=0.1) as workers:
        until(2)
        first = workers.pids
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        until(3)
        assert first[1] in workers.pids
    assert workers.pids == []
    assert {int(file.name) for file in (tmp_path / "stopped").iterdir()} == {
        int(file.name) for file in started.iterdir()
    } - {first[0]}
    assert "a worker has ended with code -9; another starts in 0.1 s" in caplog.text


def test_small_answers_are_sent_at_once() -> None:
    """Asyncio turns Nagle's algorithm off only for sockets that name their protocol."""
    with bound("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
