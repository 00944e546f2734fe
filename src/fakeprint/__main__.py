"""The command line: `fakeprint COMMAND`."""

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path

from fakeprint import __version__
from fakeprint.errors import InputError, one_line_errors

COMMANDS = {
    "predict": "predict the class of image files",
    "verify": "compare a model's folder with its card",
    "explain": "write a page with the grounds of a model's answers",
    "inspect": "show what image files declare about their origin",
    "models": "list networks, classifiers, feature sets and ensembles",
    "search": "search for good parameter values",
    "study": "run studies: arms, seeds, reports",
    "serve": "serve the API: predictions over HTTP",
    "keys": "make, list and revoke API keys",
    "leaderboard": "show the leaderboard and where the submission file is",
    "app": "start the web app, which talks to the API",
    "bot": "answer images that are sent to a Telegram bot",
    "ui": "serve MLflow's page of all runs, the most accurate first",
    "schema": "write the JSON schema of params.yaml, for editors",
    "worker": "fit models for the service's jobs",
    "use": "set params.yaml from a preset, or back to the demo",
}
OPTIONS = ("-h", "--help", "--version")
# These read or write the repository's files; the others run in any folder.
IN_THE_REPOSITORY = ("search", "leaderboard", "schema", "study", "ui", "use")


@one_line_errors
def main() -> None:
    """Run the subcommand that the command line names. Only its own module is imported, so that each starts fast."""
    parser = argparse.ArgumentParser(
        prog="fakeprint", description="Which generator made this image, or is it real? `dvc repro` builds the models."
    )
    parser.add_argument("--version", action="version", version=f"fakeprint {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    requested = sys.argv[1] if len(sys.argv) > 1 else ""
    _check(requested)
    for command, summary in COMMANDS.items():
        if command == requested:
            importlib.import_module(f"fakeprint.commands.{command}").add_parser(subparsers)
        else:
            subparsers.add_parser(command, help=summary)
    args = parser.parse_args()
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # as a shell tells it


def _check(requested: str) -> None:
    """Raises InputError for an unknown command, and for one of the repository's outside of it."""
    kind, known = ("option", OPTIONS) if requested.startswith("-") else ("command", tuple(COMMANDS))
    if requested and requested not in known:
        from fakeprint.params import suggestion

        raise InputError(f"there is no {kind} '{requested}'{suggestion(requested, known)}")
    in_repository = any(Path(name).exists() for name in ("params.yaml", "dvc.yaml"))
    helps = {"-h", "--help"} & set(sys.argv[2:])
    if requested in IN_THE_REPOSITORY and not in_repository and not helps:
        raise InputError(f"{requested}: there is no params.yaml here; run it in the root of Fakeprint's repository")


if __name__ == "__main__":
    main()
