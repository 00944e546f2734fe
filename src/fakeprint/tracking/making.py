"""Notes beside the database about how a model was made; the stage `track` reads them where it makes or completes a run.

A classifier is fitted in less time than MLflow takes to start, so its stage only leaves such a note. A training leaves
one too, for a server that may stay away.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fakeprint.digests import model_digest
from fakeprint.files import main_root, read_json, write_json
from fakeprint.params import Params
from fakeprint.tracking.origin import machine_tags, source_tags


@contextlib.contextmanager
def noted(params: Params, name: str, kind: str) -> Iterator[None]:
    """Around the fit of the model in models/NAME: note how it was made, unless an exception ends it."""
    start = time.time()
    yield
    if params.tracking.enabled:
        tags = {**source_tags(name, kind), **machine_tags(kind)}
        note(model_digest(Path("models") / name), start, tags)


def note(digest: str, start: float, tags: dict[str, str]) -> None:
    """Note how the model of this digest was made, from `start` until now."""
    write_json(_note(digest), {"start": start, "end": time.time(), "tags": tags})


def making_of(digest: str) -> dict[str, Any]:
    """The note about the model of this digest: start and end, in seconds since 1970, and tags.

    Empty if it was made on another machine, or logged before.
    """
    file = _note(digest)
    return dict(read_json(file)) if file.exists() else {}


def forget(digest: str) -> None:
    """Remove the note, once it is in MLflow."""
    _note(digest).unlink(missing_ok=True)


def _note(digest: str) -> Path:
    return main_root() / ".fakeprint/made" / f"{digest}.json"
