"""The JSON schema of params.yaml, by which an editor completes and explains its keys."""

import json
from typing import Any

from fakeprint.params.params import Params

FILE = "params.schema.json"  # named in the first line of params.yaml


def schema() -> dict[str, Any]:
    """The schema as pydantic gives it: types, choices, bounds, defaults and what each key means."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Params.model_json_schema(),
        "title": "params.yaml",
    }


def schema_text() -> str:
    """The schema as the file `FILE` holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
