"""`python -m fakeprint use`: params.yaml becomes the demo's, overlaid with a preset.

Every preset is an overlay of presets/demo.yaml, never of the file as it stands: the outcome depends on the command
alone, whatever was in use before. presets/demo.yaml is params.yaml as the repository comes, so `use demo` gives that
back byte for byte, comments included. `-S` reads as `dvc exp run -S` does, by Hydra's grammar: KEY=VALUE changes a key,
+KEY=VALUE adds one, ++KEY=VALUE does either, ~KEY takes one out.
"""

import argparse
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.files import written

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PARAMS = Path("params.yaml")
PRESETS = Path("presets")
DEMO = PRESETS / "demo.yaml"
ABSENT = "(not set)"
WIDTH = 140  # characters; a longer line of one block is broken into lines of one key each


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "use", help="overlay params.yaml with a preset, or go back to the demo", description=__doc__
    )
    parser.add_argument("preset", metavar="PRESET", help="presets/NAME.yaml, or just NAME; `demo` goes back")
    parser.add_argument("--data", type=Path, metavar="PATH", help="data.path: a folder, .zip or .tar")
    parser.add_argument(
        "-S",
        dest="changes",
        action="append",
        default=[],
        metavar="[+|++|~]KEY[=VALUE]",
        help="change, add or take out one key after the preset, as in `dvc exp run -S`; may be repeated",
    )
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
    if new["data"]["path"] != _read(DEMO)["data"]["path"] and not Path(new["data"]["path"]).exists():
        raise InputError(f"{preset}: data.path: {new['data']['path']} does not exist; say where with --data PATH")
    changes = list(differences(_read(PARAMS), new))
    if text != PARAMS.read_text(encoding="utf-8"):
        with written(PARAMS) as partial:
            partial.write_text(text, encoding="utf-8")
    for key, before, after in changes:
        print(f"{key}: {before} → {after}")
    print(f"{PARAMS}: {len(changes)} keys changed" if changes else f"{PARAMS} says this already")


def find_preset(name: str) -> Path:
    """presets/NAME.yaml by its path or name. Raises InputError with the near name."""
    for path in (Path(name), PRESETS / f"{name}.yaml"):
        if path.is_file():
            return path
    known = [path.stem for path in sorted(PRESETS.glob("*.yaml"))]
    raise InputError(f"there is no preset '{name}'{params.near(Path(name).stem, known)}")


def data_path(given: Path) -> str:
    """Relative inside the repository, absolute outside, where DVC's copies of the repository find it too."""
    if not given.exists():
        raise InputError(f"--data: {given} does not exist")
    absolute, root = Path.cwd() / given, Path.cwd()
    inside = absolute.resolve().is_relative_to(root.resolve())
    return (absolute.resolve().relative_to(root.resolve()) if inside else absolute.resolve()).as_posix()


def overlaid(preset: Path, data: str | None, changes: list[str]) -> str:
    """The text of params.yaml: the demo's, then the preset's values, then the data path, then single keys."""
    overlays = [] if preset.resolve() == DEMO.resolve() else [_read(preset)]
    if data:
        overlays.append({"data": {"path": data}})
    demo = DEMO.read_text(encoding="utf-8")
    if not overlays and not changes:
        return demo
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 4096
    content = yaml.load(demo)
    for overlay in overlays:
        _merge(content, overlay)
    for change in changes:
        _change(content, change)
    text = StringIO()
    yaml.dump(content, text)
    return text.getvalue()


def differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Each key that differs, with its old and new value as YAML shows them; `(not set)` where it is in one only."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from differences(before.get(name, ABSENT), after.get(name, ABSENT), f"{key}.{name}".strip("."))
    elif before != after:
        yield key, _shown(before), _shown(after)


def _change(content: CommentedMap, change: str) -> None:
    """Apply one `-S`. Raises InputError where the key is not there, or there already, or `change` cannot be read."""
    override = _override(change)
    key = str(override.key_or_group)
    value: Any = override.value()
    *blocks, last = key.split(".")
    block: Any = content
    for name in blocks:
        block = block.get(name) if isinstance(block, dict) else None
    here = block if isinstance(block, dict) else {}
    if override.is_delete():
        if last not in here:
            raise InputError(f"-S {change}: {key} is not in params.yaml{_near(last, here)}")
        if value is not None and value != here[last]:
            raise InputError(f"-S {change}: {key} is {_shown(here[last])}")
        del here[last]
        return
    if override.is_add() and here.get(last) is not None and not isinstance(value, dict | list):
        raise InputError(f"-S {change}: {key} is there already, as {_shown(here[last])}; {change[1:]} changes it")
    if not override.is_add() and not override.is_force_add():
        _require_there(here, {last: value}, ".".join(blocks), change)
    for name in reversed([*blocks, last]):
        value = {name: value}
    _merge(content, value)


def _override(change: str) -> "Override":
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(change)
    except HydraException as error:
        reason = " ".join(str(error).splitlines()[0].split())
        raise InputError(f"-S {change}: write KEY=VALUE, for example model.dropout=0.3 ({reason})") from None
    if override.is_sweep_override():
        raise InputError(f"-S {change}: several values are for `dvc exp run --queue`; quote a text with commas twice")
    return override


def _require_there(known: dict[str, Any], changed: dict[str, Any], prefix: str, change: str) -> None:
    for name, value in changed.items():
        key = f"{prefix}.{name}".strip(".")
        if name not in known:
            raise InputError(f"-S {change}: {key} is not in params.yaml{_near(name, known) or f'; +{change} adds it'}")
        if isinstance(value, dict) and isinstance(known[name], dict):
            _require_there(known[name], value, key, change)


def _near(name: str, known: dict[str, Any]) -> str:
    close = params.near(name, known)
    return close if "did you mean" in close else ""


def _merge(base: CommentedMap, overlay: dict[str, Any]) -> None:
    """Set what differs and nothing else, so that every other line stays as it is."""
    for key, value in overlay.items():
        known = base.get(key)
        if isinstance(known, CommentedMap) and isinstance(value, dict) and not _another_method(known, value):
            before = _shown(known)
            _merge(known, value)
            if known.fa.flow_style() and _shown(known) != before and len(f"  {key}: {_shown(known)}") > WIDTH:
                known.fa.set_block_style()
        elif key not in base or known != value:
            base[key] = _in_one_line(value)


def _another_method(known: dict[str, Any], value: dict[str, Any]) -> bool:
    """Whether a classifier's block names another method, whose keys are not the old one's."""
    return known.get("method") != value.get("method", known.get("method"))


def _in_one_line(value: Any) -> Any:
    """Lists and mappings as YAML's `[…]` and `{…}`."""
    if isinstance(value, dict):
        value = CommentedMap({key: _in_one_line(inner) for key, inner in value.items()})
        value.fa.set_flow_style()
    elif isinstance(value, list):
        value = CommentedSeq([_in_one_line(inner) for inner in value])
        value.fa.set_flow_style()
    return value


class _Representer(RoundTripRepresenter):
    """Writes null as `null`, not as nothing."""


_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(inner) for inner in value) + "]"
    return str(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no mapping of blocks")
    return content
