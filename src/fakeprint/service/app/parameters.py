"""Fields for parameters that a JSON schema describes. What equals the default is not sent: the preset decides."""

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st


def parameter_fields(schemas: Mapping[str, Mapping[str, Any]], preset: str) -> tuple[dict[str, Any], list[str]]:
    """A field per parameter.

    Args:
        schemas: name → JSON schema, with the preset's value as its default.
        preset: its name; each preset's fields start with its own values.

    Returns:
        The parameters that were changed, and a line per field whose text cannot be read.
    """
    changed, wrong = {}, []
    for name, schema in schemas.items():
        try:
            value = _field(name, schema, f"{preset}-{name}")
        except ValueError as error:
            wrong.append(f"{name}: {error}")
            continue
        if value is not None and value != schema.get("default"):
            changed[name] = value
    return changed, wrong


def _field(name: str, schema: Mapping[str, Any], key: str) -> Any:
    default, about = schema.get("default"), schema.get("description")
    kinds = [schema, *schema.get("anyOf", [])]
    choices = next((each["enum"] for each in kinds if "enum" in each), None)
    if choices:
        index = choices.index(default) if default in choices else None
        return st.selectbox(name, choices, index=index, help=about, key=key)
    kind: Mapping[str, Any] = next(
        (each for each in kinds if each.get("type") in ("boolean", "integer", "number", "array")), {}
    )
    if kind.get("type") == "boolean":
        return st.checkbox(name, value=bool(default), help=about, key=key)
    if kind.get("type") in ("integer", "number") and (default is None or isinstance(default, int | float)):
        return _number(name, kind, default, about, key)
    if kind.get("type") == "array" and "enum" in kind.get("items", {}):
        return st.multiselect(name, kind["items"]["enum"], default=default or [], help=about, key=key)
    if kind.get("items", {}).get("type") == "string" and isinstance(default, list):
        return st.multiselect(name, default, default=default, accept_new_options=True, help=about, key=key)
    return _text(name, default, about, key)


def _number(name: str, schema: Mapping[str, Any], default: float | None, about: str | None, key: str) -> float | None:
    whole = schema["type"] == "integer"
    convert = int if whole else float
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    options: dict[str, Any] = {
        "min_value": None if low is None else convert(low),
        "max_value": None if high is None else convert(high),
        "value": None if default is None else convert(default),
        "step": 1 if whole else None,
        "format": None if whole else "%g",
    }
    value: float | None = st.number_input(name, **options, help=about, key=key)
    return value


def _text(name: str, default: Any, about: str | None, key: str) -> Any:
    """A text as it is where the default is one; else JSON. Empty: as in the preset. Raises ValueError."""
    is_text = isinstance(default, str)
    shown = default if is_text else "" if default is None else json.dumps(default)
    given = st.text_input(name, value=shown, help=about, key=key).strip()
    if not given or is_text:
        return given or None
    try:
        return json.loads(given)
    except ValueError:
        raise ValueError(f'\'{given}\' is no JSON; write lists as ["a", "b"], texts in quotes') from None
