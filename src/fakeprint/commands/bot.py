"""Answer images that are sent to a Telegram bot. Set FAKEPRINT_BOT_TOKEN; docs/service.md lists all settings."""

import argparse

from fakeprint.errors import InputError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand. It has no options: all settings come from the environment, as the secret token must."""
    parser = subparsers.add_parser("bot", help="answer images that are sent to a Telegram bot", description=__doc__)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Answer messages until SIGINT or SIGTERM. Raises InputError."""
    try:
        from fakeprint.service.bot import application, settings
    except ModuleNotFoundError as error:
        raise InputError(f"bot: {error.name} is not installed; pip install 'fakeprint[bot]'") from None
    application.run(settings.load())
