"""What a request must pass: size, key, rate; and what every answer carries."""

import io
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fakeprint.errors import InputError
from fakeprint.service.access import create_key, revoke_key
from fakeprint.service.gate import network_of, parsed_rate
from fakeprint.service.logs import JsonLines
from fakeprint.service.settings import Settings
from fakeprint.service.uploads import Held
from tests.service.running import app_of, client, encoded, files, models_folder, pictures, running

assert client and models_folder  # fixtures

IMAGE = encoded(pictures(1)[0][0])
MIB = 2**20


@pytest.fixture
def spooled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to disk as a temporary file."""
    found: list[str] = []
    rollover = tempfile.SpooledTemporaryFile.rollover

    def noted(file: Any) -> None:
        found.append("rollover")
        rollover(file)

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", noted)
    return found


def chunks(mebibytes: int) -> Iterator[bytes]:
    """A multipart body of one file, of which nobody says how long it is."""
    yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    for _ in range(mebibytes):
        yield bytes(MIB)
    yield b"\r\n--x--\r\n"


MULTIPART = {"content-type": "multipart/form-data; boundary=x"}


def test_a_body_that_says_it_is_too_large_is_refused_unread(
    tmp_path: Path, models_folder: Path, spooled: list[str]
) -> None:
    with running(tmp_path, models_folder, model="lda", max_body_mib=2, max_archive_mib=4) as client:
        for path in ("/predict", "/nowhere"):
            refused = client.post(path, content=bytes(3 * MIB), headers=MULTIPART)
            assert (refused.status_code, refused.json()["detail"]) == (413, "the body is larger than 2 MiB")
            assert refused.headers["content-type"] == "application/problem+json"
        refused = client.post("/set", content=bytes(2**16 + 1), headers={"content-type": "application/json"})
        assert (refused.status_code, refused.json()["detail"]) == (413, "the body is larger than 64 KiB")
        refused = client.post("/datasets", content=bytes(5 * MIB), headers=MULTIPART)
        assert (refused.status_code, refused.json()["detail"]) == (413, "the body is larger than 4 MiB")
    assert spooled == []


def test_a_body_that_proves_too_large_is_given_up_and_never_on_disk(
    tmp_path: Path, models_folder: Path, spooled: list[str]
) -> None:
    with running(tmp_path, models_folder, model="lda", max_body_mib=4) as client:
        refused = client.post("/predict", content=chunks(6), headers=MULTIPART)
        assert (refused.status_code, refused.json()["detail"]) == (413, "the body is larger than 4 MiB")
        assert client.post("/predict", content=chunks(3), headers=MULTIPART).status_code == 200
        assert app_of(client).state.held._held == 0
    assert spooled == []  # Starlette's own limit is 1 MiB per file


def test_a_body_without_a_key_is_not_read(tmp_path: Path, models_folder: Path, spooled: list[str]) -> None:
    with running(tmp_path, models_folder, model="lda", require_keys=True) as client:
        refused = client.post("/predict", content=chunks(3), headers=MULTIPART)
        assert refused.status_code == 401
        refused = client.post("/datasets", content=chunks(3), headers=MULTIPART)
        assert refused.status_code == 401
    assert spooled == []


def test_bodies_of_all_requests_together() -> None:
    held = Held(10)
    with held.one_request() as first, held.one_request() as second:
        first(6)
        second(4)
        with pytest.raises(Exception, match="too many large requests at a time; try again soon") as raised:
            second(1)
        assert raised.value.status == 503
    with held.one_request() as third:
        third(10)


def test_more_is_held_than_may_be(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder, model="lda", held_mib=2) as client:
        refused = client.post("/predict", content=chunks(3), headers=MULTIPART)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert client.post("/predict", files=files(("a", IMAGE))).status_code == 200


def test_files_per_request_their_size_and_pixels(tmp_path: Path, models_folder: Path) -> None:
    settings = {"max_files": 3, "max_file_mib": 0.02, "max_pixels": 10_000}
    before = Image.MAX_IMAGE_PIXELS
    with running(tmp_path, models_folder, model="lda", **settings) as client:
        assert Image.MAX_IMAGE_PIXELS == 5_000  # Pillow refuses twice as many
        for sent in ({"files": files(*[("a", IMAGE)] * 4)}, {"json": {"images": [{"content": "QUJD"}] * 4}}):
            refused = client.post("/predict", **sent)
            line = "more than 3 images in one request; send them in several"
            assert (refused.status_code, refused.json()["detail"]) == (413, line)
        large = encoded(np.zeros((101, 100, 3), np.uint8))
        noise = encoded(pictures(1, size=98)[0][0])
        sent = files(("a", IMAGE), ("large", large), ("long", noise))
        first, second, third = client.post("/predict", files=sent).json()["images"]
        assert first["status"] == "answered"
        assert second["detail"] == "too large"
        assert third["detail"] == "larger than 0.02 MiB"
    assert before == Image.MAX_IMAGE_PIXELS


def test_pixels_of_the_data_set_hold_where_they_are_fewer(client: TestClient) -> None:
    sent = files(("a", encoded(np.zeros((1001, 1000), np.uint8))))
    assert client.post("/predict", files=sent).json()["images"][0]["detail"] == "too large"


def test_the_rate_of_an_address(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder, is_ready=False, rate="2/day") as client:
        for _ in range(5):
            assert client.get("/health").status_code == 200  # is not counted
        assert [client.get("/models").status_code for _ in range(3)] == [200, 200, 429]
        refused = client.post("/predict", content=chunks(3), headers=MULTIPART)
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 24 * 3600
        assert refused.json()["detail"].startswith("more than 2/day requests; try again in ")


def test_the_rate_is_each_key_s_own(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder, is_ready=False, rate="2/day", require_keys=True) as client:
        engine = app_of(client).state.engine
        keys = [create_key(engine, name, ["predict"]) for name in ("one", "other")]
        for key in keys:
            headers = {"Authorization": f"Bearer {key}"}
            assert [client.get("/models", headers=headers).status_code for _ in range(3)] == [200, 200, 429]
        # who guesses keys is counted by address
        guesses = [client.get("/models", headers={"X-API-Key": f"fp_{number}"}) for number in range(3)]
        assert [each.status_code for each in guesses] == [401, 401, 429]


@pytest.mark.parametrize(
    ("host", "network"), [("10.0.0.7", "10.0.0.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("odd", "odd")]
)
def test_addresses_of_one_customer(host: str, network: str) -> None:
    assert network_of({"client": (host, 1)}) == network
    assert network_of({"client": None}) == "unknown"


def test_a_rate_that_is_none() -> None:
    with pytest.raises(InputError, match="rate: 'often' is not a rate such as 600/minute"):
        parsed_rate("often")


@pytest.mark.slow
def test_keys_and_scopes(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder, require_keys=True) as client:
        engine = app_of(client).state.engine
        predict, admin = (create_key(engine, name, [name]) for name in ("predict", "admin"))
        sent = files(("a.png", IMAGE))
        without = client.post("/predict", files=sent)
        assert (without.status_code, without.headers["www-authenticate"]) == (401, "Bearer")
        assert without.json()["detail"] == "an API key is required: `Authorization: Bearer KEY`"
        unknown = client.post("/predict", files=sent, headers={"Authorization": "Bearer fp_x"})
        assert (unknown.status_code, unknown.json()["detail"]) == (401, "unknown API key")
        for headers in (
            {"Authorization": f"Bearer {predict}"},
            {"authorization": f"bearer {predict}"},
            {"X-API-Key": predict},
            {"X-API-Key": admin},
        ):
            assert client.post("/predict", files=sent, headers=headers).status_code == 200
        lacking = client.post("/set", json={"name": "lda"}, headers={"X-API-Key": predict})
        assert (lacking.status_code, lacking.json()["detail"]) == (403, "the API key 'predict' lacks the scope 'admin'")
        assert client.post("/set", json={"name": "lda"}, headers={"X-API-Key": admin}).status_code == 200
        for path in ("/health", "/ready", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        assert client.get("/metrics").status_code == 401
        revoke_key(engine, "predict")
        assert client.post("/predict", files=sent, headers={"X-API-Key": predict}).status_code == 401


@pytest.mark.slow
def test_browsers_may_call_from_named_origins_only(tmp_path: Path, models_folder: Path) -> None:
    origin = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    with running(tmp_path / "closed", models_folder, is_ready=False) as client:
        assert "access-control-allow-origin" not in client.get("/health", headers=origin).headers
        assert client.options("/predict", headers=origin).status_code == 405
    settings: dict[str, Any] = {"cors_origins": "https://app.example, https://b.example", "require_keys": True}
    with running(tmp_path / "open", models_folder, is_ready=False, **settings) as client:
        preflight = client.options("/predict", headers=origin)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, origin["Origin"])
        refused = client.post("/predict", headers=origin)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin["Origin"])
        assert "access-control-allow-origin" not in client.get("/health", headers={"Origin": "https://c"}).headers


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil.example", "http://[", ""])
def test_a_page_of_another_site_makes_nobody_s_browser_call(client: TestClient, origin: str) -> None:
    sent = files(("a.png", IMAGE))
    refused = client.post("/predict", files=sent, headers={"Origin": origin})
    line = "pages of other sites may not call: name them in FAKEPRINT_CORS_ORIGINS"
    assert (refused.status_code, refused.json()["detail"]) == (403, line)
    assert client.post("/predict", files=sent, headers={"Origin": "http://testserver"}).status_code == 200
    assert client.get("/models", headers={"Origin": origin}).status_code == 200  # but its answer cannot be read


def test_request_ids(client: TestClient) -> None:
    assert client.get("/health", headers={"X-Request-ID": "job-7:a.b"}).headers["x-request-id"] == "job-7:a.b"
    made = {
        client.get("/health", headers={"X-Request-ID": given}).headers["x-request-id"]
        for given in ("", "a" * 65, "with space", 'quote"', "<script>")
    }
    assert len(made) == 5
    assert all(len(each) == 16 for each in made)


def test_headers_that_browsers_heed(client: TestClient) -> None:
    for path in ("/health", "/nowhere", "/models"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "content-security-policy" not in client.get("/docs").headers  # loads its scripts from elsewhere


def test_a_line_per_request_without_what_was_sent(client: TestClient) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("fakeprint.access")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        client.post("/predict?explain=false", files=files(("my\nface.png", IMAGE)), headers={"X-Request-ID": "one"})
        client.get("/a%0Ab")
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
    first, second = (json.loads(line) for line in lines.getvalue().splitlines())
    assert {key: first[key] for key in ("request_id", "method", "path", "status", "key", "level")} == {
        "request_id": "one",
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "key": None,
        "level": "info",
    }
    assert first["ms"] > 0
    assert "face" not in str(first)
    assert (second["path"], second["status"]) == ("/a\nb", 404)


def test_metrics(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder, model="lda") as client:
        client.post("/predict", files=files(("a", IMAGE), ("b", b"nothing")))
        client.get("/nowhere/1")
        client.get("/nowhere/2")
        text = client.get("/metrics").text
        version = client.get("/ready").json()["model"]["version"]
    for line in (
        'fakeprint_requests_total{method="POST",route="/predict",status="200"} 1.0',
        'fakeprint_requests_total{method="",route="other",status="404"} 2.0',
        'fakeprint_request_seconds_count{route="/predict"} 1.0',
        "fakeprint_batch_images_sum 1.0",
        "fakeprint_batch_seconds_count 1.0",
        "fakeprint_queue_images 0.0",
        f'fakeprint_model_info{{name="lda",version="{version}"}} 1.0',
        'fakeprint_images_total{answer="unreadable"} 1.0',
    ):
        assert line in text.splitlines(), line


def test_not_ready_until_warm(tmp_path: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    from fakeprint.service import serving

    go_on, open_model = Event(), serving.open_model
    monkeypatch.setattr(serving, "open_model", lambda *words: go_on.wait(30) and open_model(*words))
    with running(tmp_path, models_folder, is_ready=False, model="lda") as client:
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["detail"]) == (503, "the model is being loaded")
        assert client.get("/health").json()["status"] == "ok"
        refused = client.post("/predict", files=files(("a", IMAGE)))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert client.get("/metrics").status_code == client.get("/models").status_code == 200
        go_on.set()


@pytest.mark.parametrize(
    ("host", "keys"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True), ("my.host", True)],
)
def test_keys_are_required_as_soon_as_others_can_connect(host: str, keys: bool) -> None:
    assert Settings(host=host).keys_required is keys
    assert Settings(host=host, require_keys=not keys).keys_required is not keys
