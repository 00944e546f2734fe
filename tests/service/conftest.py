"""An API in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fakeprint.service.api import create_app
from fakeprint.service.settings import Settings
from tests.service.postgres import postgres_url

__all__ = ["postgres_url"]  # a fixture


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Starts an API with the given settings, whose files are in `tmp_path`."""
    with ExitStack() as stack:

        def start(**changes: Any) -> TestClient:
            settings = Settings(**({"folder": tmp_path, "workers": 0} | changes))
            return stack.enter_context(TestClient(create_app(settings)))

        yield start
