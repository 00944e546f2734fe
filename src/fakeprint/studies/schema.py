"""The JSON schema of study files, by which an editor completes and explains their keys."""

import json
from typing import Any

from fakeprint.studies.study import Study

FILE = "studies/study.schema.json"  # named in the first line of each study file


def schema() -> dict[str, Any]:
    """The schema as pydantic gives it, with what changes a parameter as a mapping of dotted keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Study.model_json_schema(),
        "title": "studies/NAME.yaml",
    }


def schema_text() -> str:
    """The schema as the file `FILE` holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
