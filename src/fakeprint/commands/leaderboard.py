"""`fakeprint leaderboard`: the leaderboard, where the submission file is, and how to open MLflow's page."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from fakeprint.errors import InputError

LEADERBOARD = Path("metrics/leaderboard.md")
SUBMISSION = Path("data/submission/submission.csv")


def add_parser(subparsers: Any) -> None:
    """Add the subcommand; it has no options."""
    parser = subparsers.add_parser("leaderboard", help="show the leaderboard and where the submission file is")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the leaderboard. Raises InputError if the pipeline has not run."""
    if not LEADERBOARD.exists():
        raise InputError(f"{LEADERBOARD} is missing: run `make repro` or `dvc repro` first")
    Console().print(Markdown(LEADERBOARD.read_text(encoding="utf-8")))
    print(f"\nsubmission:  {SUBMISSION}")
    print("pictures:    reports/leaderboard/ and reports/MODEL/")
    print("all runs:    fakeprint ui (MLflow; it prints the address)")
