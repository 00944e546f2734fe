"""Start MLflow's server if it is local, and print the address of the page of all runs."""

import argparse
import os

from fakeprint import params, tracking


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "ui", help="serve MLflow's page of all runs, the most accurate first", description=__doc__
    )
    parser.add_argument("--port", type=int, default=5000, help="port of the local server (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the address; become the local server, where MLFLOW_TRACKING_URI names none. Raises InputError."""
    page = tracking.page(params.load().tracking.experiment, args.port)
    server = tracking.server(args.port)
    print(f"MLflow: {page}" + "   (Ctrl-C to stop)" * bool(server), flush=True)
    if server:
        command, environment = server
        os.execve(command[0], command, environment)
