"""Uploads that no honest client sends: each gets an answer that the schema knows, and nothing is left behind.

A few in the suite; `HOSTILE_UPLOADS=10000 python -m pytest tests/service/test_hostile_uploads.py` sends as many.
"""

import os
import random
import resource
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakeprint.service.problems import Problem
from fakeprint.service.schemas import PredictResponse
from tests.service.running import app_of, encoded, models_folder, pictures, running

assert models_folder  # a fixture

UPLOADS = int(os.environ.get("HOSTILE_UPLOADS", "100"))
GROWTH = 300  # MiB that the process may grow by, whatever is sent
NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\x.png",
    "a\0b.png",
    "..",
    "",
    "é\n.png",
    "x" * 5000,
    "a/../b",
    "%2e%2e",
]
FORMS = [("PNG", {}), ("JPEG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {}), ("GIF", {})]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))


def lying_png(width: int, height: int) -> bytes:
    """Its head promises any size, its few pixels do not fill it."""
    head = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(5000))) + chunk(b"IEND", b"")
    )


def bomb(side: int) -> bytes:
    return encoded(np.zeros((side, side), np.uint8))


HONEST = [encoded(pictures(1, seed)[0][0], form, **options) for seed, (form, options) in enumerate(FORMS)]
BOMBS = [bomb(1001), bomb(3000), lying_png(2**31 - 1, 2**31 - 1), lying_png(900, 900), lying_png(1, 2**20)]


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """An image file, cut, with bytes changed, two of them glued together, or anything."""
    content = draw(st.sampled_from([*HONEST, *BOMBS, b""]) | st.binary(max_size=200))
    if draw(st.booleans()):
        content = content[: draw(st.integers(0, len(content)))]
    for place, value in draw(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8)):
        if content:
            place %= len(content)
            content = content[:place] + bytes([value]) + content[place + 1 :]
    return content + draw(st.sampled_from([b"", HONEST[0], b"PK\3\4", b"\0" * 50]))


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes, dict[str, Any]]:
    """Body, content type and query of a request for predictions."""
    parts = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3, 4, 0]))):
        field = draw(st.sampled_from(["files"] * 60 + ["file", "explain", "evidence", "fi\nles", ""]))
        name = draw(st.sampled_from([*NAMES * 2, *["a.png", "a.jpg"] * 10, None, "é\n.png"]))
        about = f'form-data; name="{field}"' + ("" if name is None else f'; filename="{name}"')
        parts.append(
            b"--b\r\nContent-Disposition: "
            + about.encode("utf-8", "surrogatepass")
            + b"\r\n\r\n"
            + draw(contents())
            + b"\r\n"
        )
    body = b"".join(parts) + b"--b--\r\n"
    kind = draw(st.sampled_from(["whole"] * 12 + ["cut", "no boundary", "json", "other", "shuffled"]))
    header = "multipart/form-data; boundary=b"
    if kind == "cut":
        body = body[: draw(st.integers(0, len(body)))]
    elif kind == "no boundary":
        header = "multipart/form-data"
    elif kind == "json":
        header = "application/json"
        body = draw(st.sampled_from([body, b'{"images": [{"content": "\\ud800"}]}', b"[" * 20_000, b"null", b"{}"]))
    elif kind == "other":
        header = draw(st.sampled_from(["", "image/png", "multipart/form-data; boundary=" + "x" * 500, "a/b; \xff"]))
    elif kind == "shuffled":
        lines = body.split(b"\r\n")
        random.Random(0).shuffle(lines)
        body = b"\r\n".join(lines)
    query = draw(st.sampled_from([{}] * 6 + [{"evidence": "true"}, {"explain": "true"}, {"explain": "x"}]))
    return body, header.encode("latin-1"), query


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def place(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Path]]:
    """The API, whose current and temporary folders are its own."""
    root = tmp_path_factory.mktemp("hostile")
    before = Path.cwd()
    os.chdir(root)
    with pytest.MonkeyPatch.context() as patched, running(root / "service", models_folder) as client:
        patched.setenv("TMPDIR", str(root))
        patched.setattr("tempfile.tempdir", str(root))
        yield client, root
    os.chdir(before)


@pytest.mark.slow
def test_hostile_uploads(place: tuple[TestClient, Path]) -> None:
    client, root = place
    service = app_of(client).state
    seen: dict[int, int] = {}
    client.post("/predict", files={"files": ("a.png", HONEST[0])}, params={"explain": True, "evidence": True})
    before, peak = files_below(root), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=UPLOADS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def send(request: tuple[bytes, bytes, dict[str, Any]]) -> None:
        body, kind, query = request
        response = client.post("/predict", content=body, headers={b"content-type": kind}, params=query)
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
        if response.status_code == 200:
            answer = PredictResponse.model_validate_json(response.content)
            assert 1 <= len(answer.images) <= 4
            assert all(len(each.image) <= 255 for each in answer.images)
        else:
            assert response.status_code in (400, 413, 415, 422), response.text
            assert "\n" not in Problem.model_validate_json(response.content).detail

    send()
    assert {200, 400, 415, 422} <= seen.keys(), seen
    assert (service.batcher.waiting, service.held._held) == (0, 0)
    assert files_below(root) == before
    assert client.post("/predict", files={"files": ("a.png", HONEST[0])}).json()["images"][0]["status"] == "answered"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    print(f"{sum(seen.values())} uploads, by status {seen}, memory grew by {grown:.0f} MiB")
    assert grown < GROWTH
