"""params.yaml made of presets/demo.yaml, a preset and single changes: what `fakeprint use`, studies and jobs share.

A preset only lists what differs from the demo, so the result does not depend on what params.yaml was before. Changes
are read as `dvc exp run -S` does (`overrides.py`). Comments of the demo stay, and so does DVC's way of writing.
"""

import copy
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.overrides import parsed_override

PRESETS = Path("presets")
DEMO = PRESETS / "demo.yaml"
ABSENT = "(not set)"
WIDTH = 80  # characters at which DVC breaks a mapping on one line


def find_preset(name: str) -> Path:
    """presets/NAME.yaml by its path or name. Raises InputError with the near name."""
    for path in (Path(name), PRESETS / f"{name}.yaml"):
        if path.is_file():
            return path
    known = [path.stem for path in sorted(PRESETS.glob("*.yaml"))]
    raise InputError(f"there is no preset '{name}'{params.suggestion(Path(name).stem, known)}")


def data_path(given: Path) -> str:
    """Relative inside the repository, absolute outside, where DVC's copies of the repository find it too."""
    if not given.exists():
        raise InputError(f"--data: {given} does not exist")
    absolute, root = Path.cwd() / given, Path.cwd()
    inside = absolute.resolve().is_relative_to(root.resolve())
    return (absolute.resolve().relative_to(root.resolve()) if inside else absolute.resolve()).as_posix()


def overlaid(
    preset: Path,
    data: str | None,
    changes: Sequence[str],
    values: Sequence[dict[str, Any]] = (),
    demo: Path = DEMO,
    last: Sequence[dict[str, Any]] = (),
) -> str:
    """The text of params.yaml: the demo's, then the preset's values, then the data path, then single keys.

    values: mappings of blocks that follow the preset's. demo: presets/demo.yaml. last: mappings that follow `changes`.
    """
    overlays = _overlays(preset, data, values, demo)
    text = demo.read_text(encoding="utf-8")
    if not overlays and not changes and not last:
        return text
    yaml = YAML()
    yaml.default_flow_style = False
    content = yaml.load(text)
    _overlay(content, overlays, changes, last)
    _open_wide_mappings(content)
    dumped = StringIO()
    yaml.dump(content, dumped)
    return dumped.getvalue()


def overlaid_content(
    preset: Path,
    data: str | None = None,
    changes: Sequence[str] = (),
    values: Sequence[dict[str, Any]] = (),
    demo: Path = DEMO,
) -> dict[str, Any]:
    """The mapping that `overlaid` would write, without `last`: eight times as fast, since it keeps no comments."""
    content = params.read(demo)
    _overlay(content, _overlays(preset, data, values, demo), changes)
    return content


def _overlays(preset: Path, data: str | None, values: Sequence[dict[str, Any]], demo: Path) -> list[dict[str, Any]]:
    """What follows the demo and precedes single keys, in order."""
    own = [] if preset.resolve() == demo.resolve() else [params.read(preset)]
    return [*own, *values, *([{"data": {"path": data}}] if data else [])]


def _overlay(
    content: dict[str, Any],
    overlays: Sequence[dict[str, Any]],
    changes: Sequence[str],
    last: Sequence[dict[str, Any]] = (),
) -> None:
    for overlay in overlays:
        merge(content, overlay)
    for change in changes:
        _change(content, change)
    for overlay in last:
        merge(content, overlay)


def differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Each key that differs, with its old and new value as YAML shows them; `(not set)` where it is in one only."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from differences(before.get(name, ABSENT), after.get(name, ABSENT), f"{key}.{name}".strip("."))
    elif before != after:
        yield key, _shown(before), _shown(after)


def _change(content: dict[str, Any], change: str) -> None:
    """Apply one `-S`. Raises InputError where the key is not there, or there already, or `change` cannot be read."""
    override = parsed_override(change)
    key, value = override.key, override.value
    *blocks, last = key.split(".")
    block: Any = content
    for name in blocks:
        block = block.get(name) if isinstance(block, dict) else None
    parent = block if isinstance(block, dict) else {}
    if override.kind == "delete":
        if last not in parent:
            raise InputError(f"-S {change}: {key} is not in params.yaml{_near(last, parent)}")
        if value is not None and value != parent[last]:
            raise InputError(f"-S {change}: {key} has the value {_shown(parent[last])}")
        del parent[last]
        return
    if override.kind == "add" and parent.get(last) is not None and not isinstance(value, dict | list):
        raise InputError(
            f"-S {change}: {key} already exists with the value {_shown(parent[last])}; use {change[1:]} to change it"
        )
    if override.kind == "set":
        _require_there(parent, {last: value}, ".".join(blocks), change)
    for name in reversed([*blocks, last]):
        value = {name: value}
    merge(content, value)


def _require_there(known: dict[str, Any], changed: dict[str, Any], prefix: str, change: str) -> None:
    for name, value in changed.items():
        key = f"{prefix}.{name}".strip(".")
        if name not in known:
            raise InputError(f"-S {change}: {key} is not in params.yaml{_near(name, known) or f'; +{change} adds it'}")
        if isinstance(value, dict) and isinstance(known[name], dict):
            _require_there(known[name], value, key, change)


def _near(name: Any, known: dict[Any, Any]) -> str:
    close = params.suggestion(str(name), map(str, known))
    return close if "did you mean" in close else ""


def merge(base: dict[str, Any], overlay: dict[str, Any]) -> None:
    """Set what differs and nothing else, so that every other line stays as it is. `{}` empties a mapping.

    base: what ruamel.yaml read, with its comments, or plain mappings.
    """
    for key, value in overlay.items():
        known = base.get(key)
        if isinstance(known, dict) and value and isinstance(value, dict) and not _another_method(known, value):
            merge(known, value)
        elif key not in base or known != value:
            if not isinstance(base, CommentedMap):
                base[key] = copy.deepcopy(value)
                continue
            base[key] = _writable(value)
            comments = base.ca.items.get(key)
            if value == [] and comments and comments[3] == []:
                comments[3] = None  # else ruamel writes `[]` away from its key


def _writable(value: Any) -> Any:
    """The value as ruamel is to write it: a mapping on one line, and so a list that begins with an empty one.

    After `- {}` and a comment on the list's key, ruamel writes the next item's first two keys on one line, which is not
    YAML.
    """
    if isinstance(value, dict):
        return _on_one_line(value)
    if isinstance(value, list) and value and value[0] == {}:
        items = CommentedSeq([_on_one_line(item) if isinstance(item, dict) else item for item in value])
        items.fa.set_flow_style()
        return items
    return copy.deepcopy(value)


def _on_one_line(value: dict[str, Any]) -> CommentedMap:
    block = CommentedMap(
        {key: _on_one_line(inner) if isinstance(inner, dict) else inner for key, inner in value.items()}
    )
    block.fa.set_flow_style()
    return block


def _open_wide_mappings(block: CommentedMap, indent: int = 0) -> None:
    """Give each mapping that one line cannot hold a line per key, and its lists a line per item."""
    for key, value in block.items():
        if not isinstance(value, CommentedMap):
            continue
        if value.fa.flow_style() and indent + len(f"{key}: {_shown(value)}") > WIDTH:
            value.fa.set_block_style()
            for name, inner in value.items():
                if isinstance(inner, list) and inner:
                    value[name] = list(inner)
        if not value.fa.flow_style():
            _open_wide_mappings(value, indent + 2)


def _another_method(known: dict[str, Any], value: dict[str, Any]) -> bool:
    """Whether a classifier's block names another method, whose keys are not the old one's."""
    return known.get("method") != value.get("method", known.get("method"))


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
