"""One API with made-up answers for all tests of the app, and the app's pages run by Streamlit's AppTest."""

import sys
from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from tests.service.app import fake_api

Opener = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit puts each page in the place of `__main__`, and processes that other tests spawn would run that page."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def no_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each page that is opened, Streamlit looks through all installed packages for components; none is used."""
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", lambda *_, **__: [])


@pytest.fixture(scope="session")
def server() -> Iterator[fake_api.World]:
    with fake_api.running(fake_api.World()) as world:
        yield world


@pytest.fixture
def world(server: fake_api.World, monkeypatch: pytest.MonkeyPatch) -> fake_api.World:
    """What the API holds, as at the start. The app asks this API."""
    server.__init__(url=server.url)  # type: ignore[misc]
    monkeypatch.setenv("FAKEPRINT_API", server.url)
    monkeypatch.delenv("FAKEPRINT_KEY", raising=False)
    st.cache_data.clear()
    return server


def _page(name: str) -> None:
    from importlib import import_module

    import_module(f"fakeprint.service.app.{name}").render()


@pytest.fixture
def page() -> Opener:
    """Run a page by its name, with query parameters. No page may end in an exception."""

    def opened(name: str, **query: str) -> AppTest:
        app = AppTest.from_function(_page, kwargs={"name": name}, default_timeout=60)
        app.query_params.update(query)
        app.run()
        assert not app.exception
        return app

    return opened
