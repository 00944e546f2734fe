"""The API's description: what FastAPI cannot see by itself."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from fakeprint.service.gate import OPEN
from fakeprint.service.problems import Problem, responses
from fakeprint.service.schemas import PredictRequest

REFERENCE = "#/components/schemas/{model}"
UNSEEN: tuple[type[BaseModel], ...] = (Problem, PredictRequest)  # named by reference only


def describe_bodies(app: FastAPI) -> None:
    """Have `app.openapi()` define the bodies that endpoints name by reference, and no others."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        schema = described()
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        for model in UNSEEN:
            definition = model.model_json_schema(ref_template=REFERENCE)
            for name, nested in definition.pop("$defs", {}).items():
                known.setdefault(name, nested)
            known.setdefault(model.__name__, definition)
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                _leave_out_unused(operation["responses"])
                _add_those_of_the_gate(path, operation)
        for name in ("HTTPValidationError", "ValidationError"):
            known.pop(name, None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_those_of_the_gate(path: str, operation: dict[str, Any]) -> None:
    """What `gate` and `observing` answer instead of an endpoint, whichever it is."""
    if path not in OPEN:
        statuses = (401, 403, 429, 500, *((413,) if "requestBody" in operation else ()))
        for status, response in responses(*statuses).items():
            operation["responses"].setdefault(str(status), response)


def _leave_out_unused(answers: dict[str, Any]) -> None:
    """Describe 422 by `Problem` instead of FastAPI's own body; endpoints without a 422 stay as they are."""
    content = answers.get("422", {}).get("content", {})
    if "HTTPValidationError" in str(content.get("application/json", "")):
        content.pop("application/json")
        content.setdefault("application/problem+json", {"schema": {"$ref": REFERENCE.format(model="Problem")}})
