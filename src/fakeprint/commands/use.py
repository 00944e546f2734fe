"""Write params.yaml from presets/demo.yaml and a preset.

A preset only lists what differs from the demo, so the result does not depend on what params.yaml was before.
presets/demo.yaml is params.yaml as the repository comes: `use demo` restores it byte for byte, comments included.
Edits that the new file replaces are kept beside it, in params.edited.yaml.
`-S` reads changes as `dvc exp run -S` does, by Hydra's grammar: KEY=VALUE changes a key, +KEY=VALUE adds one,
++KEY=VALUE does either, ~KEY removes one.

The file is written as DVC writes it, so that a later `dvc exp run -S` changes only the lines of its keys: null is an
empty value, lists and blocks take a line per item, and only short mappings are on one line. A comment is on the line
of its key or below the key of its block: above a key, it would belong to the item before it, and be removed with it.
"""

import argparse
import itertools
from pathlib import Path

from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.errors import InputError, first_few
from fakeprint.files import written
from fakeprint.presets import DEMO, data_path, differences, find_preset, overlaid

PARAMS = Path("params.yaml")
LAST = Path(".fakeprint/params.yaml")  # what `use` last wrote: where params.yaml differs from it, somebody edited it


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "use", help="set params.yaml from a preset, or back to the demo", description=__doc__
    )
    parser.add_argument("preset", metavar="PRESET", help="presets/NAME.yaml, or just NAME; `demo` restores the demo")
    parser.add_argument("--data", type=Path, metavar="PATH", help="data.path: a folder, .zip or .tar")
    parser.add_argument(
        "-S",
        dest="changes",
        action="append",
        default=[],
        metavar="[+|++|~]KEY[=VALUE]",
        help="change, add or remove one key after the preset, as in `dvc exp run -S`; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write params.yaml and show what changed. Raises InputError, and then nothing is written."""
    preset = find_preset(args.preset)
    for needed in (PARAMS, DEMO):
        if not needed.exists():
            raise InputError(f"{needed} is missing: run this in the repository's root")
    text = overlaid(preset, data_path(args.data) if args.data else None, args.changes)
    new = YAML(typ="safe").load(text)
    name = " -S ".join([str(preset), *args.changes])
    params.require_stated(params.parse(new, name), name)
    if new["data"]["path"] != params.read(DEMO)["data"]["path"] and not Path(new["data"]["path"]).exists():
        raise InputError(f"{preset}: data.path: {new['data']['path']} does not exist; give the data with --data PATH")
    replace_params(text, args.dry_run)


def replace_params(text: str, dry_run: bool = False) -> None:
    """Write params.yaml and show what changed; edits that it had are kept beside it. dry_run: show, write nothing."""
    before = PARAMS.read_text(encoding="utf-8")
    changes = list(differences(params.read(PARAMS), YAML(typ="safe").load(text)))
    edits = _edits(before) if before != text else []
    backup = _backup(before)
    if not dry_run:
        if edits:
            _write(backup, before)
        if before != text:
            _write(PARAMS, text)
        _write(LAST, text)
    for key, old, value in changes:
        print(f"{key}: {old} → {value}")
    would = "would be " * dry_run
    if edits:
        print(f"{PARAMS} had edits ({first_few(edits)}), which {would or 'are '}kept in {backup}")
    print(f"{PARAMS}: {len(changes)} keys {would}changed" if changes else f"{PARAMS} already has these values")


def _edits(text: str) -> list[str]:
    """What somebody changed in params.yaml: keys that differ from what `use` last wrote, or from the demo's."""
    last = LAST if LAST.exists() else DEMO
    if text in (last.read_text(encoding="utf-8"), DEMO.read_text(encoding="utf-8")):
        return []
    keys = [key for key, _, _ in differences(params.read(last), params.read(PARAMS))]
    return keys or ["comments"]


def _backup(text: str) -> Path:
    """params.edited.yaml, or with a number after it: the first that is not there, or holds this text already."""
    for number in itertools.count(1):
        path = PARAMS.with_name(f"params.edited{'' if number == 1 else f'-{number}'}.yaml")
        if not path.exists() or path.read_text(encoding="utf-8") == text:
            return path
    raise AssertionError


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with written(path) as partial:
        partial.write_text(text, encoding="utf-8")
