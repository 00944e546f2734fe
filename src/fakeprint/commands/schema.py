"""Write params.schema.json, with which an editor completes and explains the keys of params.yaml.

The first line of params.yaml names the file, for editors that use yaml-language-server. It is made from the classes in
`fakeprint.params`: run this after a change there.
"""

import argparse
from pathlib import Path

from fakeprint.errors import InputError
from fakeprint.files import written
from fakeprint.params.schema import FILE, schema_text


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand; it has no options."""
    parser = subparsers.add_parser(
        "schema", help="write the JSON schema of params.yaml, for editors", description=__doc__
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the schema beside params.yaml. Raises InputError where there is none."""
    if not Path("params.yaml").exists():
        raise InputError("params.yaml is missing: run this in the repository's root")
    file, text = Path(FILE), schema_text()
    if file.exists() and file.read_text(encoding="utf-8") == text:
        print(f"{file} is up to date")
        return
    with written(file) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"{file}: written")
