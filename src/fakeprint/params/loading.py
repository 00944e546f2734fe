"""Reading params.yaml, and which of its keys are left to their defaults."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from fakeprint.errors import InputError
from fakeprint.params.block import Block
from fakeprint.params.networks import Model, Network
from fakeprint.params.params import Params
from fakeprint.params.validation import alternatives, validated

DEMO = "presets/demo.yaml"  # params.yaml as the repository comes


def load(path: str | Path = "params.yaml") -> Params:
    """Read and validate a parameter file. Raises InputError with one line that names the key and a similar one."""
    return parse(read(path), name=str(path))


def read(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds, not validated. Raises InputError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = YAML(typ="safe").load(text)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run this in the repository's root") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except DuplicateKeyError:
        key, lines = next(_repeated(YAML(typ="safe").compose(text)))
        raise InputError(f"{path}: {key} is given twice (lines {lines[0]} and {lines[1]})") from None
    except (YAMLError, ValueError) as error:  # not UTF-8, or a date that does not exist
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a YAML mapping of blocks")
    return content


def _repeated(node: Node, prefix: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
    """Each key that a mapping below `node` gives again, and the lines of the first and of the repetition, from 1."""
    lines: dict[str, int] = {}
    for key, value in node.value if isinstance(node, MappingNode) else []:
        name, line = f"{prefix}{key.value}", key.start_mark.line + 1
        if name in lines:
            yield name, (lines[name], line)
        lines.setdefault(name, line)
        yield from _repeated(value, f"{name}.")
    for number, item in enumerate(node.value if isinstance(node, SequenceNode) else []):
        yield from _repeated(item, f"{prefix.removesuffix('.')}[{number}].")


def parse(content: Any, name: str = "params.yaml") -> Params:
    """Validate parameters given as a mapping, as YAML gives it. Raises InputError."""
    if not isinstance(content, dict):
        raise InputError(f"{name} is not a YAML mapping of blocks")
    return validated(Params, content, prefix="", name=name)


def unstated(block: Block, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each key below `block` that params.yaml leaves to its default, and that default.

    DVC sees params.yaml and not the defaults: one that changes would change results and rerun nothing. What a network
    inherits from `model` and `train` is stated there; a block that is left out does not run.
    """
    inherited = {*Model.model_fields, "train"} if isinstance(block, Network) else set()
    for name, field in type(block).model_fields.items():
        value, key = getattr(block, name), f"{prefix}{field.alias or name}"
        if (
            name not in block.model_fields_set
            and name not in inherited
            and not _is_absent_block(field.annotation, value)
        ):
            yield key, value
        for inner_key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            if name in block.model_fields_set and isinstance(inner, Block):
                yield from unstated(inner, f"{key}.{inner_key}.".replace("..", "."))


def require_stated(params: Params, name: str = "params.yaml") -> None:
    """Raise InputError where the file `name` leaves a key to its default."""
    missing = list(unstated(params))
    if missing:
        (key, default), more = missing[0], f" (and {len(missing) - 1} more)" * (len(missing) > 1)
        if isinstance(default, Block):
            default = default.model_dump()
        fix = f"copy it from {DEMO}"
        if name == "params.yaml":
            fix = f"add it, or run `fakeprint use {name}` to add what is missing from {DEMO}"
        raise InputError(
            f"{name}: {key} is missing (default: {json.dumps(default)}); DVC does not see defaults, so {fix}{more}"
        )


def _is_absent_block(annotation: Any, value: Any) -> bool:
    kinds = alternatives(annotation)
    return value is None and any(isinstance(kind, type) and issubclass(kind, Block) for kind in kinds)
