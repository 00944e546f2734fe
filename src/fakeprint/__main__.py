"""`python -m fakeprint`: predict, models, use, leaderboard."""

import argparse
import importlib
import sys

from fakeprint.errors import one_line_errors

COMMANDS = {
    "predict": "class and probabilities of image files",
    "models": "every network, classifier and feature set that params.yaml can name",
    "search": "the best values of parameters, by trials on folds of the train images",
    "leaderboard": "how the models stand, and where the submission lies",
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
    args.run(args)


if __name__ == "__main__":
    main()
