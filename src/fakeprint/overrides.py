"""Single changes of params.yaml, `-S KEY=VALUE`, read as `dvc exp run -S` reads them: by Hydra's grammar.

Hydra comes with DVC. Where neither is installed, as may be on a machine that only computes cells of studies, numbers,
words, paths and lists of these are read all the same, with the same result.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from fakeprint.errors import InputError

KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")
INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")
WORD = re.compile(r"/?[A-Za-z_][\w./-]*", re.ASCII)
CONSTANTS = {"true": True, "false": False, "null": None}
NOT_WORDS = ("inf", "nan")  # numbers to Hydra


@dataclass(frozen=True)
class Override:
    """One change. kind: set a key that is there, add one (`+`), either (`++`), or delete one (`~`)."""

    key: str
    value: Any
    kind: Literal["set", "add", "set or add", "delete"] = "set"


def parsed_override(change: str) -> Override:
    """Read one `-S`.

    Raises:
        InputError: it cannot be read, it names several values, or it needs Hydra, which is not installed.
    """
    try:
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException
    except ModuleNotFoundError:
        return _plain(change)
    try:
        override = OverridesParser.create().parse_override(change)
    except HydraException as error:
        reason = " ".join(str(error).splitlines()[0].split())
        raise InputError(f"-S {change}: write KEY=VALUE, for example model.dropout=0.3 ({reason})") from None
    if not override.key_or_group or override.package is not None:
        raise InputError(f"-S {change}: write KEY=VALUE, for example model.dropout=0.3")
    if override.is_sweep_override():
        raise InputError(
            f"-S {change}: several values work only with `dvc exp run --queue`; to give a text with commas, quote it "
            "twice"
        )
    key, value = str(override.key_or_group), override.value()
    if override.is_delete():
        return Override(key, value, "delete")
    if override.is_force_add():
        return Override(key, value, "set or add")
    return Override(key, value, "add" if override.is_add() else "set")


def _plain(change: str) -> Override:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise InputError(f"-S {change}: write KEY=VALUE, for example model.dropout=0.3")
    try:
        if not KEY.fullmatch(key):
            raise ValueError
        return Override(key, _value(text.strip()))
    except ValueError:
        raise InputError(
            f"-S {change}: without hydra-core only KEY=VALUE with a number, a word, a path or a list of these can be "
            "read; install hydra-core, or write the value into a preset"
        ) from None


def _value(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return [_value(item) for item in _items(text[1:-1])]
    if INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if text.lower() in CONSTANTS:
        return CONSTANTS[text.lower()]
    if WORD.fullmatch(text) and text.lower() not in NOT_WORDS:
        return text
    raise ValueError


def _items(text: str) -> list[str]:
    """The items of a list, which may be lists. Raises ValueError where brackets do not match."""
    if not text.strip():
        return []
    items, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            raise ValueError
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    if depth:
        raise ValueError
    return [item.strip() for item in items]
