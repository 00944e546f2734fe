"""`python -m fakeprint`: the commands."""

import argparse
import importlib
import os
import sys

from fakeprint.errors import one_line_errors

COMMANDS = {
    "predict": "class and probabilities of image files",
    "models": "every network, classifier and feature set that params.yaml can name",
    "search": "the best values of parameters, by trials on folds of the train images",
    "leaderboard": "how the models stand, and where the submission lies",
    "schema": "the JSON schema of params.yaml, for editors",
    "use": "overlay params.yaml with a preset, or go back to the demo",
}


@one_line_errors
def main() -> None:
    """Run the subcommand that the command line names. Only its own module is imported, so that each starts fast."""
    parser = argparse.ArgumentParser(
        prog="fakeprint", description="Which generator made this image, or is it real? `dvc repro` builds the models."
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    for command, summary in COMMANDS.items():
        if command == named:
            importlib.import_module(f"fakeprint.commands.{command}").add_parser(subparsers)
        else:
            subparsers.add_parser(command, help=summary)
    args = parser.parse_args()
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
