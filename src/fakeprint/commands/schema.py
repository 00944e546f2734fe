"""Write params.schema.json and studies/study.schema.json, with which an editor completes and explains keys.

The first line of params.yaml and of each study names the file, for editors that use yaml-language-server. They are made
from the classes in `fakeprint.params` and `fakeprint.studies`: run this after a change there.
"""

import argparse
from pathlib import Path

from fakeprint.errors import InputError
from fakeprint.files import written
from fakeprint.params import schema as of_params
from fakeprint.studies import schema as of_studies


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand; it has no options."""
    parser = subparsers.add_parser(
        "schema", help="write the JSON schema of params.yaml, for editors", description=__doc__
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the schemas where params.yaml and studies are. Raises InputError where there is no params.yaml."""
    if not Path("params.yaml").exists():
        raise InputError("params.yaml is missing: run this in the repository's root")
    for schema in (of_params, of_studies):
        file, text = Path(schema.FILE), schema.schema_text()
        if not file.parent.is_dir():  # a work folder without studies
            continue
        if file.exists() and file.read_text(encoding="utf-8") == text:
            print(f"{file} is up to date")
            continue
        with written(file) as partial:
            partial.write_text(text, encoding="utf-8")
        print(f"{file}: written")
