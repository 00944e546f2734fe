"""Fit models for the service: take queued jobs, one at a time, and run their pipelines.

Settings come from the environment, FAKEPRINT_…, or the file .env, as those of `fakeprint serve`: docs/service.md lists
them. Any number of workers may run, on any machine that has the service's database and folder.
"""

import argparse
import logging
import signal

from fakeprint.errors import InputError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser("worker", help="fit models for the service's jobs", description=__doc__)
    parser.add_argument("--drain", action="store_true", help="end when no job waits")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Work until a signal. Raises InputError where the extra `service` is missing or a setting is wrong."""
    try:
        from pydantic import ValidationError

        from fakeprint.service.jobs.worker import Worker
        from fakeprint.service.settings import Settings
        from fakeprint.service.tables import connect
    except ModuleNotFoundError as error:
        raise InputError(
            f"worker: the package {error.name} is missing; run `pip install 'fakeprint[service]'`"
        ) from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"FAKEPRINT_{'.'.join(map(str, first['loc'])).upper()}: {first['msg']}") from None
    worker = Worker(connect(settings), settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.stop)
    worker.run(args.drain)
