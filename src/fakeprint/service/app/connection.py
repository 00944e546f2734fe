"""The connection to the API, and how its errors are shown: as the one line that it answers with."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from fakeprint.service.client import ApiError, Client

SECONDS = 900.0  # a profile of a large data set takes minutes; a server that is not there is noticed within seconds
DEFAULT_API = "http://127.0.0.1:8000"


def client() -> Client:
    """The client of the API that FAKEPRINT_API names, with the key in FAKEPRINT_KEY. All sessions share it."""
    return _client(os.environ.get("FAKEPRINT_API") or DEFAULT_API, os.environ.get("FAKEPRINT_KEY") or None)


@st.cache_resource(show_spinner=False)
def _client(url: str, key: str | None) -> Client:
    return Client(url, key, SECONDS)


def models() -> dict[str, Any]:
    """GET /models, the body of `schemas.Models`. Raises ApiError."""
    return client().get("/models")


def serving_model() -> tuple[dict[str, Any] | None, str | None]:
    """The model that answers, a body of `schemas.Model`, and what is wrong with it, if anything.

    `GET /models` may wait for a registry, so it is asked once for each model. Raises ApiError: none can answer.
    """
    ready = client().get("/ready")
    model = _described(client().url, ready["model"]["digest"])
    if model is None:
        _described.clear()
    return model, ready["detail"]


@st.cache_data(ttl=600, max_entries=16, show_spinner=False)
def _described(url: str, digest: str) -> dict[str, Any] | None:
    return next((model for model in models()["models"] if model["digest"] == digest and model["serves"]), None)


def serving(found: dict[str, Any]) -> dict[str, Any] | None:
    """The model that answers, of what `models` returned."""
    return next((model for model in found["models"] if model["serves"]), None)


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show an ApiError in place of the rest of the page."""
    try:
        yield
    except ApiError as error:
        show(error)
        st.stop()


def show(error: ApiError) -> None:
    """Show an error, and how to go on where the app knows it."""
    if error.status is None:
        local = re.match(r"https?://(127\.0\.0\.1|localhost|\[::1\])(:|/|$)", client().url)
        start = "Start it in a terminal: `fakeprint serve`" if local else "Ask whoever runs it."
        st.error(f"{plain(error.detail)}\n\n{start}", icon=":material/cloud_off:")
        st.button("Try again", icon=":material/refresh:", key=f"again-{error.detail}")
    elif error.status in (401, 403):
        st.error(
            f"{plain(error.detail)}\n\nThe app takes its key from the environment variable `FAKEPRINT_KEY` when it "
            "starts.",
            icon=":material/key:",
        )
    else:
        st.error(plain(error.detail), icon=":material/error:")


def plain(text: str) -> str:
    """Text that Streamlit's Markdown shows as it is: no markup, links, colours or formulas."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~:$&])", r"\\\1", " ".join(text.split()))
