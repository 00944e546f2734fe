"""The images of a data set over HTTP: listed with their labels, and sent as they came."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fakeprint.data.containers.tars import CompressedTar
from fakeprint.service import dataset_images
from fakeprint.service.access import create_key
from fakeprint.service.routes import datasets
from tests.service.fits import until
from tests.service.images import class_folders, png, samples, tar_of, zip_of

Api = Callable[..., TestClient]
SPLITS = {f"train/{name}": content for name, content in class_folders(3).items()} | {
    "test/plain/x.png": png(90, "plain"),
    "test/stripes/y.png": png(91, "stripes"),
}


def sent(client: TestClient, content: bytes, **headers: str) -> str:
    response = client.post("/datasets", files={"archive": ("mine", content)}, headers=headers)
    assert response.status_code == 201, response.text
    return f"/datasets/{response.json()['id']}/images"


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [zip_of(SPLITS), tar_of(SPLITS, "w"), tar_of(SPLITS, "w:gz"), tar_of(SPLITS, "w:xz")],
    ids=["zip", "tar", "tar.gz", "tar.xz"],
)
def test_every_image_of_an_archive_is_listed_and_sent_as_it_came(api: Api, content: bytes) -> None:
    client = api()
    images = sent(client, content)
    answer = client.get(images).json()
    assert answer["splits"] == {"train": 6, "validation": 0, "test": 2} and answer["next"] is None
    assert [image["number"] for image in answer["images"]] == list(range(8))
    for image in answer["images"]:
        assert f"{image['split']}/{image['label']}/" in image["name"]
        response = client.get(f"{images}/{image['number']}")
        assert response.content == SPLITS[image["name"]]
        assert response.headers["Content-Type"] == "image/png"
        assert response.headers["Content-Disposition"] == f'attachment; filename="{image["number"]}.png"'
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.slow
def test_images_that_were_sent_one_by_one_are_listed_with_their_labels(api: Api) -> None:
    client = api()
    pictures = samples(2)
    files = [("files", ("../../x.png", content)) for _, content in pictures]
    made = client.post("/datasets", files=files, data={"labels": [label for label, _ in pictures]}).json()
    images = client.get(f"/datasets/{made['id']}/images").json()["images"]
    assert [image["label"] for image in images] == [label for label, _ in pictures]
    for image, (_, content) in zip(images, pictures, strict=True):
        assert client.get(f"/datasets/{made['id']}/images/{image['number']}").content == content


@pytest.mark.slow
def test_the_list_comes_in_pages_and_by_split(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_images, "ROWS", 3)
    client = api()
    images = sent(client, zip_of(SPLITS))
    seen, first = [], 0
    while first is not None:
        page = client.get(images, params={"first": first, "limit": 3}).json()
        seen += [image["number"] for image in page["images"]]
        first = page["next"]
    assert seen == list(range(8))
    tests = client.get(images, params={"split": "test"}).json()["images"]
    assert [(image["number"], image["name"]) for image in tests] == [(6, "test/plain/x.png"), (7, "test/stripes/y.png")]
    assert client.get(images, params={"split": "test", "first": 7}).json()["images"] == tests[1:]
    assert client.get(images, params={"split": "validation"}).json()["images"] == []
    assert client.get(images, params={"first": 8}).json()["images"] == []


@pytest.mark.slow
def test_a_file_that_is_no_image_is_sent_as_bytes_to_keep(api: Api) -> None:
    page = b"<html><script>alert(1)</script>"
    client = api()
    response = client.get(f"{sent(client, zip_of(class_folders(2) | {'plain/a.png': page}))}/2")
    assert response.content == page
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"] == 'attachment; filename="2.bin"'


@pytest.mark.parametrize(
    ("start", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "application/octet-stream"),
        (b"GIF89a", "image/gif"),
        (b"", "application/octet-stream"),
    ],
)
def test_the_first_bytes_say_what_a_file_is(start: bytes, media_type: str) -> None:
    assert dataset_images.kind_of(start)[0] == media_type
    assert media_type in dataset_images.MEDIA_TYPES


@pytest.mark.slow
def test_what_cannot_be_sent_is_one_line(api: Api, tmp_path: Path) -> None:
    client = api(max_file_mib=0.01)
    damaged = bytearray(zip_of(class_folders(2) | {"plain/0.png": b"long" * 10_000}))
    damaged[damaged.index(b"IDAT")] ^= 1  # in the first image that is not too long
    images = sent(client, bytes(damaged))
    for number, status, message in (
        (4, 404, "there is no image 4: the data set has 4, numbered from 0"),
        (0, 422, "image 0 cannot be read: too large"),
        (2, 422, "image 2 cannot be read: corrupt"),
    ):
        response = client.get(f"{images}/{number}")
        assert (response.status_code, response.json()["detail"]) == (status, message)
        assert str(tmp_path) not in response.text


@pytest.mark.slow
def test_memory_that_files_take_is_bounded_and_given_back(api: Api) -> None:
    client = api(held_mib=1, max_file_mib=0.9)
    images = sent(client, zip_of(SPLITS))
    for number in [*range(8), 100] * 3:
        assert client.get(f"{images}/{number}").status_code == (404 if number == 100 else 200)
    client = api(held_mib=1, max_file_mib=2)
    response = client.get(f"{images}/0")
    assert response.status_code == 503 and "too many large requests at a time" in response.json()["detail"]


@pytest.mark.slow
def test_requests_that_wait_for_a_compressed_archive_hold_no_memory_and_not_for_ever(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api(held_mib=3, max_file_mib=2)  # room for the file of one request
    images = sent(client, tar_of(SPLITS, "w:gz"))
    assert client.get(f"{images}/0").status_code == 200
    begun, go_on, read = threading.Event(), threading.Event(), CompressedTar.read

    def slow(archive: CompressedTar, name: str, most_bytes: int) -> bytes:
        begun.set()
        assert go_on.wait(60)
        return read(archive, name, most_bytes)

    monkeypatch.setattr(CompressedTar, "read", slow)
    state = client.app.state  # type: ignore[attr-defined]
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(client.get, f"{images}/1")
        assert begun.wait(60)
        waiting = [pool.submit(client.get, f"{images}/{number}") for number in range(2, 7)]
        until(lambda: len(state.one_pass._waiters or ()) == len(waiting))
        monkeypatch.setattr(datasets, "TURN", 0.2)
        late = client.get(f"{images}/7")
        assert (late.status_code, late.headers["Retry-After"]) == (503, "5")
        line = "other images are being looked for in compressed .tar archives, one at a time; try again soon"
        assert late.json()["detail"] == line
        assert state.held._held == 2 * 2**20
        assert client.get("/health").status_code == 200
        go_on.set()
        assert [each.result().status_code for each in [first, *waiting]] == [200] * 6
    assert state.held._held == 0 and not state.one_pass.locked()


@pytest.mark.slow
def test_a_key_sees_the_images_of_its_own_data_sets(api: Api) -> None:
    client = api(require_keys=True)
    engine: Any = client.app.state.engine  # type: ignore[attr-defined]
    scopes = {"owner": "fit", "other": "fit", "reader": "predict", "chief": "admin"}
    keys = {name: {"X-API-Key": create_key(engine, name, [scope])} for name, scope in scopes.items()}  # type: ignore[list-item]
    images = sent(client, zip_of(SPLITS), **keys["owner"])
    statuses = {"owner": 200, "other": 404, "reader": 403, "chief": 200}
    for name, status in statuses.items():
        for address in (images, f"{images}/0"):
            assert client.get(address, headers=keys[name]).status_code == status, name
    assert client.get(f"{images}/0").status_code == 401
    assert client.delete(images.removesuffix("/images"), headers=keys["owner"]).status_code == 204
    assert client.get(f"{images}/0", headers=keys["owner"]).status_code == 404
