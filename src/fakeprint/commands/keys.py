"""Make, list and revoke the API keys of the service."""

import argparse
import re

from fakeprint.commands.service_options import add_folder, require_extra, settings_of
from fakeprint.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser("keys", help="make, list and revoke API keys", description=__doc__)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make a key and print it; it cannot be read again")
    add.add_argument("name", metavar="NAME", help="who will use it")
    add.add_argument(
        "--scopes",
        default="predict",
        metavar="SCOPES",
        help="what it may do, comma-separated: predict, fit, admin, which is everything (default: predict)",
    )
    add.set_defaults(run=_add)
    list_ = actions.add_parser("list", help="show names and scopes")
    list_.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(run=_revoke)
    for each in (add, list_, revoke):
        add_folder(each)


def _engine(args: argparse.Namespace):  # type: ignore[no-untyped-def]
    require_extra("keys", "service", "pydantic_settings", "sqlalchemy", "fastapi")
    from fakeprint.service.tables import connect

    return connect(settings_of(args, "folder"))


def _add(args: argparse.Namespace) -> None:
    """Print the new key. Raises InputError for a name that is taken or odd, and for unknown scopes."""
    engine = _engine(args)
    from fakeprint.service.access import SCOPES, create_key

    if not NAME.fullmatch(args.name):
        raise InputError(f"keys: '{args.name}' is no name for a key: letters, digits, . _ @ -, at most 64 of them")
    scopes = [each.strip() for each in args.scopes.split(",")]
    unknown = [each for each in scopes if each not in SCOPES]
    if unknown:
        raise InputError(f"--scopes: '{unknown[0]}' is unknown; known: {', '.join(SCOPES)}")
    print(create_key(engine, args.name, [each for each in SCOPES if each in scopes]))


def _list(args: argparse.Namespace) -> None:
    """Print a line per key."""
    from fakeprint.service.access import list_keys

    for name, scopes in list_keys(_engine(args)):
        print(f"{name}  {','.join(scopes)}")


def _revoke(args: argparse.Namespace) -> None:
    """Forget a key. Raises InputError if there is none of this name."""
    engine = _engine(args)
    from fakeprint.service.access import revoke_key

    revoke_key(engine, args.name)
    print(f"revoked: {args.name}")
