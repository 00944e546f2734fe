"""Fit models for the service: take queued jobs, one at a time, and run their pipelines.

Settings come from the environment, FAKEPRINT_…, or the file .env, as those of `fakeprint serve`: docs/service.md lists
them. Any number of workers may run, on any machine that has the service's database and folder.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from fakeprint.commands.service_options import add_folder, require_extra, settings_of


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser("worker", help="fit models for the service's jobs", description=__doc__)
    parser.add_argument("--drain", action="store_true", help="end when no job waits")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input is closed")
    add_folder(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Work until a signal. Raises InputError where the extra `service` is missing, or a setting is wrong."""
    require_extra("worker", "service", "fastapi", "pydantic_settings", "sqlalchemy", "python_multipart")
    settings = settings_of(args, "folder")
    from fakeprint.service.jobs.worker import Worker
    from fakeprint.service.tables import connect

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    worker = Worker(connect(settings), settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.stop)
    if args.until_eof:
        threading.Thread(target=_stop_at_eof, args=[worker.stop], daemon=True).start()
    worker.run(args.drain)


def _stop_at_eof(stop: Callable[[], object]) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop()
