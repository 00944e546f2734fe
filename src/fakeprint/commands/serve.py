"""Serve the API: predictions over HTTP, and workers that fit the models that it is asked for."""

import argparse
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fakeprint.commands.service_options import add_folder, require_extra, settings_of
from fakeprint.errors import InputError

if TYPE_CHECKING:
    from fakeprint.service.settings import Settings

GRACE = 10  # seconds for requests that have begun when the server stops


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "serve",
        help="serve the API: predictions over HTTP",
        description=f"{__doc__} All settings can be given as environment variables too: docs/service.md lists them.",
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="PORT", help="port to listen on, 0 for a free one (default: 8000)")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="the model that serves until POST /set chooses another (default: the champion, else unibuc)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes that fit models (default: 1)")
    parser.add_argument("--device", metavar="DEVICE", help="where networks run: auto (default), cpu, cuda, cuda:N, mps")
    parser.add_argument("--models-folder", type=Path, metavar="FOLDER", help="trained models (default: models)")
    add_folder(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM; requests that have begun are finished.

    Raises:
        InputError: the extra is missing, a setting is wrong, there is no such model, the database cannot be used, the
            port is taken, or keys are required and there is none.
    """
    require_extra(
        "serve",
        "service",
        "fastapi",
        "uvicorn",
        "limits",
        "prometheus_client",
        "pydantic_settings",
        "sqlalchemy",
        "python_multipart",
    )
    settings = settings_of(args, "host", "port", "model", "workers", "device", "models_folder", "folder")
    from fakeprint.commands.models_used import require_device
    from fakeprint.service.gate import parsed_rate

    require_device(settings.device)
    parsed_rate(settings.rate)
    _require_model(settings)
    _require_trust_list(settings)
    _require_a_key(settings)
    with bound(settings.host, settings.port) as listener:
        _serve(settings, listener)


def _require_model(settings: "Settings") -> None:
    from fakeprint.service.opened import find

    if settings.model is not None:
        find(settings.model, "folder", settings, "--model")


def _require_trust_list(settings: "Settings") -> None:
    """The API reads it again when it starts, where an error would end in a traceback."""
    from fakeprint.service.answers import inspection_of

    inspection_of(settings.trust)


def _require_a_key(settings: "Settings") -> None:
    from fakeprint.service.access import list_keys
    from fakeprint.service.tables import connect

    engine = connect(settings)
    try:
        if settings.keys_required and not list_keys(engine):
            raise InputError(
                f"serve: {settings.host} can be reached from elsewhere, so API keys are required, and there is none: "
                "make one with `fakeprint keys add NAME --scopes predict,fit`"
            )
    finally:
        engine.dispose()


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises InputError if the address or the port cannot be used."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(*found[:3])  # the protocol too: only then asyncio sends small answers without delay
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(found[4])
            listener.listen(2048)  # from now on clients may connect, and wait
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"serve: cannot listen on {host}:{port} ({reason}); choose another with --host or --port"
        ) from None
    return listener


def _serve(settings: "Settings", listener: socket.socket) -> None:
    import uvicorn

    from fakeprint.service.api import create_app
    from fakeprint.service.logs import configuration
    from fakeprint.service.memory import one_arena
    from fakeprint.service.workers import Workers

    one_arena()

    config = uvicorn.Config(
        create_app(settings),
        log_config=configuration(),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        lifespan="on",
    )
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"Fakeprint: http://{shown}:{port}   (its endpoints: /docs, Ctrl-C to stop)", flush=True)
    # uvicorn raises the signal that stopped it once more at its end: the workers are to be stopped even so, and quietly
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with Workers(settings.workers, worker_command(), _environment(settings)):
        uvicorn.Server(config).run(sockets=[listener])


def worker_command() -> list[str]:
    """What starts a worker, which ends with this process however that ends."""
    return [sys.executable, "-m", "fakeprint", "worker", "--until-eof"]


def _environment(settings: "Settings") -> dict[str, str]:
    """That of this process, with the settings that the command line has changed and a worker reads."""
    model = {} if settings.model is None else {"FAKEPRINT_MODEL": settings.model}  # whose work folder a worker keeps
    return {
        **os.environ,
        "FAKEPRINT_FOLDER": str(settings.folder.resolve()),
        "FAKEPRINT_MODELS_FOLDER": str(settings.models_folder.resolve()),
        "FAKEPRINT_DEVICE": settings.device,
        **model,
    }
