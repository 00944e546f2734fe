"""The API's description: complete, and true of what the endpoints answer, by schemathesis."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fakeprint.service.api import create_app
from fakeprint.service.routes.predict import EXAMPLE
from fakeprint.service.settings import Settings
from tests.service.running import client, listening, models_folder

assert client and models_folder  # fixtures

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = 8  # per endpoint


@pytest.fixture(scope="module")
def schema(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What schemathesis makes of an API of its own, for that is told to serve any model."""
    with listening(tmp_path_factory.mktemp("schema"), models_folder, model="lda") as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def operations() -> list[tuple[str, str]]:
    return [(path, method) for path, found in create_app(Settings()).openapi()["paths"].items() for method in found]


@pytest.mark.parametrize(("path", "method"), operations())
def test_answers_are_as_described(schema: Any, path: str, method: str) -> None:
    seen: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(schema[path][method].as_strategy())
    def check(case: Any) -> None:
        response = case.call()
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    check()
    assert seen


def described(folder: Path) -> dict[str, Any]:
    return create_app(Settings(folder=folder)).openapi()


def test_every_reference_is_defined_and_nothing_is_left_over(tmp_path: Path) -> None:
    schema = described(tmp_path)
    text = str(schema)
    for name in schema["components"]["schemas"]:
        assert f"'#/components/schemas/{name}'" in text, name
    named = {part.partition("'")[0] for part in text.split("'#/components/schemas/")[1:]}
    assert named == schema["components"]["schemas"].keys()


def test_every_endpoint_says_what_it_does_and_how_it_may_fail(tmp_path: Path) -> None:
    for path, operations in described(tmp_path)["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            assert operation["tags"]
            for status, response in operation["responses"].items():
                kinds = response.get("content", {})
                if int(status) >= 400 and path != "/ready":
                    assert kinds.keys() == {"application/problem+json"}, (path, status)
            if method != "get" or path not in ("/health", "/ready"):
                assert {"401", "403", "429"} <= operation["responses"].keys(), path
                assert operation["security"], path


def test_the_example_is_answered(client: TestClient, tmp_path: Path) -> None:
    content = described(tmp_path)["paths"]["/predict"]["post"]["requestBody"]["content"]
    example = content["application/json"]["examples"]["one image"]["value"]
    (answer,) = client.post("/predict", json=example).json()["images"]
    assert answer["status"] == "answered", answer
    assert base64.b64decode(EXAMPLE).startswith(b"\x89PNG")
