"""`fakeprint app`: what it refuses in one line, and what it starts."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from fakeprint import __main__
from fakeprint.commands import app as command

PATIENCE = 60.0


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "app", *arguments])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 1
    return capsys.readouterr().err.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("missing", "options", "extra"),
    [("streamlit", [], "app"), ("httpx", [], "app"), ("uvicorn", ["--serve"], "service")],
)
def test_a_missing_extra_is_named(monkeypatch, capsys, missing: str, options: list[str], extra: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    said = refused(monkeypatch, capsys, *options)
    assert said.endswith(f"app: packages are not installed; run `pip install 'fakeprint[{extra}]'`")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--api", "127.0.0.1:8000"], "--api 127.0.0.1:8000 is not an address such as http://127.0.0.1:8000"),
        (["--api", "http://127.0.0.1:99999"], "--api http://127.0.0.1:99999: Port out of range 0-65535"),
        (["--port", "0"], "0 is no port; give one from 1 to 65535 (--port)"),
        (
            ["--serve", "--api", "http://example.org"],
            "--serve starts an API on this machine, but --api names example.org",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(monkeypatch, capsys, arguments: list[str], said: str) -> None:
    if "--port" not in arguments:
        arguments = [*arguments, "--port", str(free_port())]
    assert said in (line := refused(monkeypatch, capsys, *arguments)) and "\n" not in line


def test_a_taken_port_is_refused(monkeypatch, capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(monkeypatch, capsys, "--port", str(port))
        assert f"cannot listen on 127.0.0.1:{port} (Address already in use); give another with --port" in said
        api = f"http://127.0.0.1:{port}"
        said = refused(monkeypatch, capsys, "--serve", "--api", api, "--port", str(free_port()))
        assert f"cannot listen on 127.0.0.1:{port}" in said and "leave out --serve" in said


@pytest.mark.slow
def test_the_app_imports_nothing_of_the_pipeline() -> None:
    script = (
        "import sys, fakeprint.service.app.verdict, fakeprint.service.app.data, fakeprint.service.app.models\n"
        "import fakeprint.service.app.fit\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in ('torch', 'sklearn', 'mlflow')\n"
        "    or name.startswith('fakeprint.')))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    allowed = {"fakeprint.service", "fakeprint.service.client", "fakeprint.service.app"}
    assert {name for name in found if not name.startswith("fakeprint.service.app.")} == allowed


def _children_end(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, PATIENCE)
    assert not alive


def _two_children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    children: list[psutil.Process] = []
    end = time.monotonic() + PATIENCE
    while len(children) < 2:
        assert time.monotonic() < end
        children = psutil.Process(process.pid).children()
    return children


@pytest.mark.slow
def test_two_processes_end_together(tmp_path: Path) -> None:
    """Whichever ends first, and on a signal; also what does not listen to the first signal."""
    script = (
        "import sys; from signal import *; from fakeprint.commands import app; app.SECONDS_TO_END = 0.5\n"
        "signal(SIGHUP, SIG_DFL)  # also if these tests run under nohup\n"
        "python = sys.executable\n"
        "waits = [python, '-c', 'from signal import *; signal(SIGTERM, SIG_IGN); import time; time.sleep(600)']\n"
        "ends = [python, '-c', sys.argv[1]]\n"
        "sys.exit(app.run_together([(waits, {}), (ends, {})]))"
    )
    ended = subprocess.run([sys.executable, "-c", script, "raise SystemExit(3)"], timeout=PATIENCE)
    assert ended.returncode == 3

    for number in (signal.SIGINT, signal.SIGHUP):
        runs = subprocess.Popen([sys.executable, "-c", script, "import time; time.sleep(600)"])
        children = _two_children(runs)
        runs.send_signal(number)
        assert runs.wait(PATIENCE) == 0
        _children_end(children)


@pytest.mark.slow
def test_app_and_api_end_with_the_command_even_if_it_is_killed(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    words = ["app", "--serve", "--port", str(ports[0]), "--api", f"http://127.0.0.1:{ports[1]}"]
    environment = {**os.environ, "HOME": str(tmp_path), "FAKEPRINT_WORKERS": "0"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fakeprint", *words], env=environment, stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        children = _two_children(process)
        for port, path in zip(ports, ("_stcore/health", "health"), strict=True):
            _until_healthy(f"http://127.0.0.1:{port}/{path}", process, tmp_path / "log")
    finally:
        process.kill()
        process.wait()
    _children_end(children)


@pytest.mark.slow
def test_under_nohup_it_runs_on(tmp_path: Path) -> None:
    script = (
        "import signal, sys; from fakeprint.commands import app; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "ends = [sys.executable, '-c', 'import os; os.kill(os.getppid(), 1); raise SystemExit(3)']  # 1: SIGHUP\n"
        "sys.exit(app.run_together([(ends, {})]))"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=PATIENCE).returncode == 3


def _until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)


@pytest.mark.slow
def test_the_command_serves_the_app(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "HOME": str(tmp_path)}
    arguments = ["app", "--port", str(port), "--api", "http://127.0.0.1:9"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fakeprint", *arguments], env=environment, stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        _until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process, tmp_path / "log")
        assert f"App: http://127.0.0.1:{port}" in (tmp_path / "log").read_text()
        listening = {each.laddr.ip for each in psutil.Process(process.pid).net_connections() if each.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_streamlit_listens_on_loopback_and_sends_no_statistics() -> None:
    arguments, environment = command.streamlit_command("http://127.0.0.1:1", "127.0.0.1", 8501, 300)
    assert {"--browser.gatherUsageStats=false", "--server.maxUploadSize=300", "--server.address=127.0.0.1"} <= set(
        arguments
    )
    assert environment["FAKEPRINT_API"] == "http://127.0.0.1:1"
