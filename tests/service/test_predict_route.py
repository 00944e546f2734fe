"""POST /predict: it answers as `fakeprint predict` does, whatever is sent and in whatever form."""

import base64
import json
import logging
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fakeprint.__main__ import main
from tests.service.running import app_of, client, encoded, files, models_folder, pictures, running

assert client and models_folder  # fixtures


def contents() -> dict[str, bytes]:
    """Image files of several forms and sizes, the model's among them, and files that are none."""
    images, _ = pictures(4, seed=3)
    large = pictures(1, seed=4, size=90)[0][0]
    alpha = np.dstack([images[2], np.full(images[2].shape[:2], 128, np.uint8)])
    return {
        "a.png": encoded(images[0]),
        "b.jpg": encoded(images[1], "JPEG", quality=80),
        "c.webp": encoded(large[:, :60], "WEBP", lossless=True),
        "d.png": encoded(alpha),
        "grey.bmp": encoded(images[3][..., 0], "BMP"),
        "large.png": encoded(large),
        "text.png": b"no picture, but a text of some length",
        "cut.png": encoded(large)[:900],
        "empty.png": b"",
        "bomb.png": encoded(np.zeros((1001, 1000), np.uint8)),
    }


def printed(folder: Path, models: Path, name: str, capsys: pytest.CaptureFixture, *words: str) -> tuple[dict, dict]:
    """What `fakeprint predict --json` prints of the files, and by name why others have no answer."""
    (folder / "files").mkdir()
    for file, content in contents().items():
        (folder / "files" / file).write_bytes(content)
    capsys.readouterr()
    with pytest.raises(SystemExit):  # with code 1, because some are unreadable
        main_with("predict", str(folder / "files"), "--json", "--model", name, "--models-folder", str(models), *words)
    said = capsys.readouterr()
    reasons = dict(
        line.removeprefix(f"{folder}/files/").split(": ") for line in said.err.splitlines() if "files/" in line
    )
    return json.loads(said.out), reasons


def main_with(*words: str) -> None:
    argv, sys.argv = sys.argv, ["fakeprint", *words]
    try:
        main()
    finally:
        sys.argv = argv


def same(answers: list[dict], wanted: list[dict]) -> None:
    """Answers of the API and of the command about the same files."""
    by_name = {Path(each["image"]).name: each for each in wanted}
    assert {each["image"] for each in answers} == by_name.keys()
    for each in answers:
        command = by_name[each["image"]]
        assert each["label"] == command["class"]
        for key in ("answer", "name", "set", "reason"):
            assert each[key] == command[key], key
        assert each["score"] == pytest.approx(command["score"], abs=1e-6)
        assert list(each["probabilities"]) == list(command["probabilities"])
        assert list(each["probabilities"].values()) == pytest.approx(list(command["probabilities"].values()), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["champion", "lda", "three_cnn", "average", "native"])
def test_it_answers_as_the_command_does(
    tmp_path: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted, reasons = printed(tmp_path, models_folder, name, capsys)
    with running(tmp_path / "service", models_folder, model=name) as client:
        response = client.post("/predict", files=files(*contents().items()))
        one_by_one = [client.post("/predict", files=files(each)).json()["images"][0] for each in contents().items()]
    assert response.status_code == 200
    answer = response.json()
    assert [each["image"] for each in answer["images"]] == list(contents())  # in the order sent
    assert (answer["data"], answer["certificate"], answer["model"]["model"]) == (
        wanted["data"],
        wanted["certificate"],
        wanted["model"],
    )
    assert answer["model"]["name"] == name
    for found in (answer["images"], one_by_one):
        same([each for each in found if each["status"] == "answered"], wanted["images"])
        assert {each["image"]: each["detail"] for each in found if each["status"] == "unreadable"} == reasons
    assert reasons.keys() == {"text.png", "cut.png", "empty.png", "bomb.png"}


def test_json_and_multipart_get_the_same_answer(client: TestClient) -> None:
    images = [{"name": name, "content": base64.b64encode(content).decode()} for name, content in contents().items()]
    sent = client.post("/predict", json={"images": images}).json()["images"]
    other = client.post("/predict", files=files(*contents().items())).json()["images"]
    assert [each for each in sent if each["status"] == "unreadable"] == [
        each for each in other if each["status"] == "unreadable"
    ]
    answered = [each for each in sent if each["status"] == "answered"]
    same(answered, [{**each, "class": each["label"]} for each in other if each["status"] == "answered"])


def test_one_file_that_is_not_base64_does_not_spoil_the_others(client: TestClient) -> None:
    good = base64.encodebytes(contents()["a.png"]).decode()  # in lines
    images = [{"name": "good", "content": good}, {"name": "bad", "content": "data:image/png;base64,AAAA"}]
    first, second = client.post("/predict", json={"images": images}).json()["images"]
    assert first["status"] == "answered"
    assert second == {
        "status": "unreadable",
        "image": "bad",
        "detail": "not base64 (without a prefix such as data:image/png;base64,)",
    }


@pytest.mark.slow
def test_evidence_is_that_of_the_command(
    tmp_path: Path, client: TestClient, models_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted, _ = printed(tmp_path, models_folder, "champion", capsys, "--evidence")
    answer = client.post("/predict?evidence=true", files=files(*contents().items())).json()
    assert answer["never_checked"] == wanted["never_checked"]
    by_name = {Path(each["image"]).name: each["evidence"] for each in wanted["images"]}
    found = [each for each in answer["images"] if each["status"] == "answered"]
    assert any(each["evidence"] for each in found)  # the JPEG's tables
    for each in found:
        expected = by_name[each["image"]]
        assert [(one["kind"], one["claim"]) for one in each["evidence"]] == [
            (one["kind"], one["claim"]) for one in expected["findings"]
        ]
        assert each["not_checked"] == expected["not_checked"]


def test_a_network_s_map_lies_over_the_image(client: TestClient) -> None:
    image = pictures(1, seed=8)[0][0]
    sent = {"files": ("a.png", encoded(image))}
    (answer,) = client.post("/predict", files=sent, data={"explain": "true"}).json()["images"]
    with Image.open(BytesIO(base64.b64decode(answer["map"]))) as png:
        assert (png.format, png.mode) == ("PNG", "RGB")
        shown = np.asarray(png)
    assert shown.shape == (280, 280, 3)  # 7 times 40
    small = shown[3::7, 3::7].astype(int)
    assert (small == image).all(axis=2).any()  # where nothing spoke for the class
    assert (small != image).any()
    assert answer["map_note"] is None
    assert "map" in answer and client.post("/predict", files=sent).json()["images"][0]["map"] is None


@pytest.mark.parametrize(("name", "note"), [("lda", "lda answers from features of the whole image"), ("native", None)])
def test_maps_of_other_models(tmp_path: Path, models_folder: Path, name: str, note: str | None) -> None:
    with running(tmp_path, models_folder, model=name) as client:
        sent = files(("a.png", encoded(pictures(1, size=50)[0][0])), ("b.png", b"nothing"))
        answer, other = client.post("/predict?explain=1", files=sent).json()["images"]
    assert other["status"] == "unreadable"
    if note:
        assert answer["map"] is None
        assert answer["map_note"].startswith(note)
    else:
        with Image.open(BytesIO(base64.b64decode(answer["map"]))) as png:
            assert png.size == (300, 300)


@pytest.mark.parametrize(
    ("request_", "status", "line"),
    [
        ({"data": {"explain": "true"}, "files": {}}, 415, "send multipart/form-data, one field `files` per image"),
        ({"files": {"file": ("a.png", b"x")}}, 422, "there is no field 'file' for files: use `files`"),
        ({"files": {"files": (None, b"x")}}, 422, "there is no field 'files'; known: files (with a file name)"),
        ({"files": {"files": ("a", b"x"), "explain": (None, b"perhaps")}}, 422, "explain: give true or false"),
        ({"json": {"images": []}}, 422, "body.images: List should have at least 1 item"),
        ({"json": {"images": [{"content": "QQ=="}], "map": True}}, 422, "body.map: Extra inputs are not permitted"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "body: Invalid JSON"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "the multipart body cannot be"),
        (
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\n\r\n--x--\r\n',
                "headers": {"content-type": "multipart/form-data; boundary=x; charset=undefined"},
            },
            400,
            "the multipart body cannot be read: leave `charset` out of its Content-Type",
        ),
        ({"content": b"x", "headers": {"content-type": "image/png"}}, 415, "send multipart/form-data"),
        ({"files": {"files": ("a", b"x")}, "params": {"explain": "perhaps"}}, 422, "query.explain: "),
    ],
)
def test_messages(client: TestClient, request_: dict[str, Any], status: int, line: str) -> None:
    response = client.post("/predict", **request_)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["detail"].startswith(line)
    assert "\n" not in problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("written", ["utf-7", "unicode_escape"])
def test_a_charset_that_writes_half_a_character(client: TestClient, written: str) -> None:
    half = "\ud800".encode(written, "surrogatepass").decode()
    head = f'Content-Disposition: form-data; name="files"; filename="{half.replace(chr(92), chr(92) * 2)}.png"'
    kind = f"multipart/form-data; boundary=x; charset={written}"
    body = f"--x\r\n{head}\r\n\r\nnothing\r\n--x--\r\n"
    (image,) = client.post("/predict", content=body, headers={"content-type": kind}).json()["images"]
    assert (image["image"], image["detail"]) == ("?.png", "not an image")


@pytest.mark.parametrize("element", ["1", '{"content":""}', "[]", '{"content":"\\"'])
def test_a_body_of_many_elements_is_refused_before_they_are_built(client: TestClient, element: str) -> None:
    body = f'{{"images":[{",".join([element] * 80_000)}]}}'
    tracemalloc.start()
    try:
        refused = client.post("/predict", content=body, headers={"content-type": "application/json"})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    line = "more than 128 images in one request; send them in several"
    assert (refused.status_code, refused.json()["detail"]) == (413, line)
    assert peak < 10 * len(body) + 2**21


def test_the_first_of_many_mistakes_are_named(client: TestClient) -> None:
    mistake = "Input should be an object"
    problem = client.post("/predict", json={"images": [1] * 1000}).json()
    named = "; ".join(f"body.images.{number}: {mistake}" for number in range(5))
    assert problem["detail"] == f"{named}; … (1,000 in all)"
    problem = client.post("/predict", json={"images": [1], "x" * 10**6: 1}).json()
    place = f"body.{'x' * 195}"
    assert problem["detail"] == f"body.images.0: {mistake}; {place}: Extra inputs are not permitted"
    for path in ("/set", "/fit"):
        problem = client.post(path, json={f"key {number}": 1 for number in range(3000)}).json()
        assert problem["detail"].endswith("in all)")
        assert len(problem["detail"]) < 500


def held_model(client: TestClient) -> tuple[threading.Event, threading.Event, list[int]]:
    """Have the serving model wait in each pass; (has begun, may go on, images of each pass)."""
    serving = app_of(client).state.serving
    begun, go_on, sizes = threading.Event(), threading.Event(), []
    answer = serving.opened.model.probabilities

    def probabilities(images: np.ndarray) -> np.ndarray:
        begun.set()
        sizes.append(len(images))
        assert go_on.wait(30)
        return np.asarray(answer(images))

    held = replace(serving.opened.model, probabilities=probabilities)
    serving.opened = replace(serving.opened, model=held)
    return begun, go_on, sizes


@pytest.mark.slow
def test_requests_that_wait_share_a_pass(tmp_path: Path, models_folder: Path) -> None:
    sent = [encoded(image) for image in pictures(12, seed=9)[0]]
    with running(tmp_path, models_folder, model="three_cnn", batch_size=8) as client, ThreadPoolExecutor(12) as pool:
        alone = [client.post("/predict", files=files(("a", each))).json()["images"][0] for each in sent]
        begun, go_on, sizes = held_model(client)
        batcher = app_of(client).state.batcher
        first = pool.submit(client.post, "/predict", files=files(("a", sent[0])))
        assert begun.wait(30)
        others = [pool.submit(client.post, "/predict", files=files(("a", each))) for each in sent[1:]]
        while len(batcher._queue) < len(others):
            assert not first.done()
        go_on.set()
        together = [each.result().json()["images"][0] for each in [first, *others]]
        assert 'fakeprint_batch_images_bucket{le="8.0"}' in client.get("/metrics").text
    assert sizes == [1, 8, 3]
    for one, other in zip(alone, together, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_a_lone_request_waits_for_nobody(tmp_path: Path, models_folder: Path) -> None:
    """It would not be answered in time if it did."""
    settings = {"batch_wait_ms": 3_600_000, "request_seconds": 60}
    with running(tmp_path, models_folder, model="lda", **settings) as client:
        assert client.post("/predict", files=files(("a", contents()["a.png"]))).status_code == 200


@pytest.mark.slow
def test_a_request_that_takes_too_long_is_given_up(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder, model="lda", request_seconds=0.3) as client:
        _, go_on, sizes = held_model(client)
        response = client.post("/predict", files=files(("a", contents()["a.png"])))
        assert (response.status_code, response.json()["detail"]) == (504, "no answer within 0.3 s; send fewer images")
        waiting = client.post("/predict", files=files(("a", contents()["a.png"])))  # behind the first
        assert waiting.status_code == 504
        go_on.set()
        assert client.post("/predict", files=files(("a", contents()["a.png"]))).status_code == 200
        assert app_of(client).state.batcher.waiting == 0
    assert sizes == [1, 1]  # nothing is computed for who has gone


def test_more_images_than_may_wait_are_refused(tmp_path: Path, models_folder: Path) -> None:
    image = contents()["a.png"]
    with running(tmp_path, models_folder, model="lda", queue_images=2) as client, ThreadPoolExecutor(1) as pool:
        begun, go_on, _ = held_model(client)
        first = pool.submit(client.post, "/predict", files=files(("a", image)))
        assert begun.wait(30)
        refused = client.post("/predict", files=files(("a", image), ("b", image)))
        go_on.set()
        assert first.result().status_code == 200
        assert client.post("/predict", files=files(("a", image), ("b", image))).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["detail"] == "so many images wait that no more are taken; try again soon"


def test_an_unexpected_error_is_logged_and_its_details_are_not_sent(
    tmp_path: Path, models_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, models_folder, model="lda") as client:
        serving = app_of(client).state.serving
        opened = serving.opened

        def fails(images: np.ndarray) -> np.ndarray:
            raise RuntimeError("the secret of this machine")

        serving.opened = replace(opened, model=replace(opened.model, probabilities=fails))
        with caplog.at_level(logging.ERROR, "fakeprint.service"):
            response = client.post("/predict", files=files(("a", contents()["a.png"])))
        serving.opened = opened
        assert client.post("/predict", files=files(("a", contents()["a.png"]))).status_code == 200
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "unexpected error; look up this request_id in the server's log"
    assert "secret" not in response.text
    (record,) = [each for each in caplog.records if each.exc_info]
    assert "the secret of this machine" in str(record.exc_info[1])
    assert record.request_id == response.headers["x-request-id"]
