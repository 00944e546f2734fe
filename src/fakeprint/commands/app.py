"""Start the web app: verdicts on uploaded images, data sets, models and fits, through the API."""

import argparse
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from fakeprint.errors import InputError

SECONDS_TO_END = 15.0  # a process that was told to end is killed after that
Command = tuple[list[str], dict[str, str]]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "app",
        help="start the web app, which talks to the API",
        description=__doc__,
        epilog="The environment variable FAKEPRINT_KEY holds the API key, where the API requires one.",
    )
    parser.add_argument("--api", metavar="URL", default="http://127.0.0.1:8000", help="the API (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--max-upload-mib",
        type=int,
        default=200,
        metavar="MIB",
        help="largest file of a data set; the app holds it in memory (default: %(default)s)",
    )
    parser.add_argument("--serve", action="store_true", help="start the API too, and end both together")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Become Streamlit's server; with `--serve`, run it and the API until one of them ends. Raises InputError."""
    _check_installed(args.serve)
    api_host, api_port = _api_address(args.api)
    _check_free(args.host, args.port, "--port")
    if args.serve:
        if api_host not in ("127.0.0.1", "localhost"):
            raise InputError(
                f"app: --serve starts an API on this machine, but --api names {api_host}; give one of them"
            )
        _check_free("127.0.0.1", api_port, "--api http://127.0.0.1:PORT, or leave out --serve: it may be the API")
    app = streamlit_command(args.api, args.host, args.port, args.max_upload_mib)
    print(f"App: http://{_shown(args.host)}:{args.port}   (Ctrl-C to stop)", flush=True)
    if not args.serve:
        os.execve(app[0][0], *app)
    own = {"FAKEPRINT_HOST": "127.0.0.1", "FAKEPRINT_PORT": str(api_port)}
    api = [sys.executable, "-m", "fakeprint", "serve"], {**os.environ, **own}
    sys.exit(run_together([_until_eof(api), _until_eof(app)]))


def _until_eof(command: Command) -> Command:
    """The command `python … -m MODULE …`, which then also ends when its standard input closes."""
    words, environment = command
    place = words.index("-m") + 1
    return [*words[:place], "fakeprint.until_eof", *words[place:]], environment


def streamlit_command(api: str, host: str, port: int, max_upload_mib: int) -> Command:
    """The command that serves the app, and its environment."""
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",  # no question for an e-mail address, no browser opened
        "server.fileWatcherType": "none",
        "server.maxUploadSize": max_upload_mib,
        "theme.light.primaryColor": "#2f74c0",
        "theme.dark.primaryColor": "#4f93dc",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": "true",
    }
    script = Path(__file__).parents[1] / "service" / "app" / "main.py"
    # -P: otherwise `-m` puts the current folder first on the path, where a file may have the name of a library
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(script)]
    command += [f"--{name}={value}" for name, value in options.items()]
    return command, {**os.environ, "FAKEPRINT_API": api}


def run_together(commands: list[Command]) -> int:
    """Run processes until one of them ends or this one gets SIGINT, SIGTERM or SIGHUP; then end them all.

    The standard input of each is a pipe, which closes with this process, also if it is killed.

    Returns:
        The exit status of the process that ended first; 0 after a signal.
    """
    signals: list[int] = []
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which `nohup` makes it: then it stays so
        ending.append(signal.SIGHUP)
    previous = {number: signal.signal(number, lambda *_: signals.append(1)) for number in ending}
    # Sessions of their own: Ctrl-C reaches this process alone, which then ends each of them once.
    processes = [
        subprocess.Popen(command, env=env, stdin=subprocess.PIPE, start_new_session=True) for command, env in commands
    ]
    try:
        while not signals and all(process.poll() is None for process in processes):
            time.sleep(0.1)
        ended = [process.returncode for process in processes if process.returncode is not None]
        return 0 if signals else ended[0]
    finally:
        for process in processes:
            process.terminate()
        end = time.monotonic() + SECONDS_TO_END
        for process in processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _check_installed(with_api: bool) -> None:
    needed = {"streamlit": "app", "httpx": "app", **({"uvicorn": "service", "fastapi": "service"} if with_api else {})}
    missing = sorted({extra for package, extra in needed.items() if importlib.util.find_spec(package) is None})
    if missing:
        raise InputError(f"app: packages are not installed; run `pip install 'fakeprint[{','.join(missing)}]'`")


def _api_address(url: str) -> tuple[str, int]:
    """Host and port of the API. Raises InputError."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise InputError(f"app: --api {url}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"app: --api {url} is not an address such as http://127.0.0.1:8000")
    return parts.hostname, port


def _check_free(host: str, port: int, option: str) -> None:
    if not 0 < port < 2**16:
        raise InputError(f"app: {port} is no port; give one from 1 to 65535 ({option})")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"app: cannot listen on {host}:{port} ({reason}); give another with {option}") from None


def _shown(host: str) -> str:
    """The host as it is in an address that a browser opens."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
