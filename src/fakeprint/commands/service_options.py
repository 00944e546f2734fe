"""What the commands of the service share: its settings from the environment, `.env` and the command line."""

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakeprint.errors import InputError

if TYPE_CHECKING:
    from fakeprint.service.settings import Settings


def require_extra(command: str, extra: str, *packages: str) -> None:
    """Raise InputError with what to install if one of these packages is missing."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            raise InputError(f"{command}: {package} is not installed: `pip install 'fakeprint[{extra}]'`") from None


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the option --folder."""
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="the service's own: data sets, work folders, database (default: .fakeprint/service)",
    )


def settings_of(args: argparse.Namespace, *names: str) -> "Settings":
    """The settings, with the options of these names where they are given.

    Raises:
        InputError: a variable or an option has a value that it cannot have.
    """
    from pydantic import ValidationError

    from fakeprint.service.settings import Settings

    given: dict[str, Any] = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        where = f"--{name.replace('_', '-')}" if name in given else f"FAKEPRINT_{name.upper()}"
        raise InputError(f"{where}: {first['msg']}") from None
