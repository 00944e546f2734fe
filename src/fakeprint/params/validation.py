"""From a mapping to a block, and from pydantic's errors to one line that names the key and a similar one."""

from collections import defaultdict
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError

from fakeprint.errors import InputError
from fakeprint.params.block import Block, as_yaml
from fakeprint.params.names import suggestion

BlockType = TypeVar("BlockType", bound=Block)
SHOULD_BE = "Input should be "
MAPPING = "a mapping of keys"
PAIR = "two numbers, the lowest and the highest"
# For errors that pydantic explains in words of Python, by type. Tuples are pairs: `missing` and `too_long` are theirs.
EXPECTED = {
    "missing": PAIR,
    "model_attributes_type": MAPPING,
    "model_type": MAPPING,
    "too_long": PAIR,
    "tuple_type": PAIR,
}


def validated(block: type[BlockType], content: dict[str, Any], prefix: str, name: str = "params.yaml") -> BlockType:
    """`content` as this block of the file `name`, at the key `prefix`. Raises InputError with a similar key."""
    try:
        return block.model_validate(content)
    except ValidationError as error:
        places: dict[tuple[str, ...], list[Any]] = defaultdict(list)
        for each in error.errors(include_url=False):
            keys, _ = _place(block, each, content)
            places[tuple(keys)].append(each)
        # a union has an error for each type that it allows: the one that lies deepest is of the type that was meant
        for place in [place for place in places if any(place == other[: len(place)] != other for other in places)]:
            del places[place]
        # a misspelt key that is required counts twice, as unknown and as missing: name what was typed
        first = min(places.values(), key=lambda errors: errors[0]["type"] != "extra_forbidden")
        more = len(places) - 1
        line = f"{name}: " * bool(name) + _explained(block, first, content, prefix) + f" (and {more} more)" * bool(more)
        raise InputError(line) from None


def _explained(block: type[Block], errors: list[Any], content: dict[str, Any], prefix: str) -> str:
    """One line for what is wrong at one key; where a union allows several types, pydantic has an error for each."""
    error = errors[0]
    keys, kinds = _place(block, error, content)
    path = ".".join([prefix, *keys]).strip(".")
    if error["type"] == "extra_forbidden":
        return f"{path} is not a parameter{suggestion(keys[-1], _keys_of(kinds[0]))}"
    item_missing = error["type"] == "missing" and isinstance(error["loc"][-1], int)
    if error["type"] in ("missing", "union_tag_not_found") and not item_missing:
        return f"{path} is missing"
    if error["type"] == "union_tag_invalid":
        return f"{path}: '{error['ctx']['tag']}' is unknown{suggestion(error['ctx']['tag'], map(_method, kinds))}"
    given = as_yaml(error["input"])
    if error["type"] in EXPECTED:
        return f"{path}: should be {EXPECTED[error['type']]}, not {given}"
    if error["type"] == "too_short" and error["input"] in ([], ""):
        return f"{path}: should not be empty"
    if error["type"] == "string_pattern_mismatch" and kinds and keys[-1] in kinds[0].model_fields:
        return f"{path}: should be {kinds[0].model_fields[keys[-1]].description}, not {given}"
    message = error["msg"].removeprefix("Value error, ")
    if not path:
        return message
    if error["type"] == "value_error":
        return f"{path}: {message}"
    if all(each["msg"].startswith(SHOULD_BE) for each in errors):
        allowed = dict.fromkeys(each["msg"].removeprefix(SHOULD_BE) for each in errors)
        message = SHOULD_BE + " or ".join(allowed).replace("a valid dictionary", "a mapping")
    but = "" if isinstance(error["input"], dict) else f", not {given}"
    return f"{path}: {message[0].lower()}{message[1:]}{but}"


def _place(block: type[Block], error: Any, content: Any) -> tuple[list[str], list[type[Block]]]:
    """The keys that lead to an error, as the file spells them, and the kinds of block that the last of them is in.

    pydantic's location also names branches of unions, in words of its own. What is not a key of `content` is such a
    branch, except the last step to a key that is missing.
    """
    keys: list[str] = []
    kinds: list[type[Block]] = [block]
    annotation: Any = block
    location = error["loc"]
    for number, step in enumerate(location, 1):
        missing = error["type"] == "missing" and number == len(location)
        if isinstance(content, dict) and (step in content or missing):
            kinds = _kinds(annotation, content)
            keys.append(str(step))
            annotation = _annotation(kinds[0], step) if kinds else (get_args(annotation) or [None])[-1]
            content = content.get(step)
        elif isinstance(content, list | tuple) and isinstance(step, int) and step < len(content):
            keys[-1] += f"[{step}]"
            annotation, content = None, content[step]
    if error["type"].startswith("union_tag"):
        keys.append("method")
        kinds = _blocks(annotation)
    return keys, kinds


def _kinds(annotation: Any, content: dict[str, Any]) -> list[type[Block]]:
    """The blocks that `content` may be; of several, the one of its method."""
    blocks = _blocks(annotation)
    return [kind for kind in blocks if _method(kind) == content.get("method")] if len(blocks) > 1 else blocks


def _blocks(annotation: Any) -> list[type[Block]]:
    return [kind for kind in alternatives(annotation) if isinstance(kind, type) and issubclass(kind, Block)]


def _method(kind: type[Block]) -> str:
    return str(get_args(kind.model_fields["method"].annotation)[0])


def _keys_of(kind: type[Block]) -> list[str]:
    return [field.alias or name for name, field in kind.model_fields.items()]


def _annotation(kind: type[Block], key: Any) -> Any:
    return next((f.annotation for name, f in kind.model_fields.items() if key in (name, f.alias)), None)


def alternatives(annotation: Any) -> list[Any]:
    """The types that a union allows; for any other type, only that type."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in alternatives(part)]
    return [annotation]
