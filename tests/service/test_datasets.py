"""Data sets over HTTP: what may be sent, what is refused, and what stays on disk."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakeprint.data.sources import open_source
from fakeprint.service.access import create_key
from fakeprint.service.sources import data_of
from tests.data.hostile import zeros_bzip2, zeros_deflated, zeros_lzma
from tests.service.images import class_folders, files_below, png, samples, tar_of, zip_of

Api = Callable[..., TestClient]


def send_archive(client: TestClient, content: bytes, name: str = "mine.zip", **fields: Any) -> Any:
    return client.post("/datasets", files={"archive": (name, content)}, data=fields)


def send_images(client: TestClient, images: list[tuple[str, bytes]], labels: list[str], **fields: Any) -> Any:
    files = [("files", image) for image in images]
    return client.post("/datasets", files=files, data={"labels": labels} | fields)


def table(client: TestClient, images: list[tuple[str, bytes]], text: str, **fields: Any) -> Any:
    files = [("files", image) for image in images] + [("table", ("labels.csv", text.encode()))]
    return client.post("/datasets", files=files, data=fields)


@pytest.mark.slow
def test_images_with_labels_become_a_data_set_that_the_pipeline_reads(api: Api, tmp_path: Path) -> None:
    client = api()
    sent = samples(3)
    images = [("../../evil.png" if n == 0 else "same.png", content) for n, (_, content) in enumerate(sent)]
    response = send_images(client, images, [label for label, _ in sent], name="two\nclasses")
    assert response.status_code == 201, response.text
    answer = response.json()
    assert answer["classes"] == {"plain": 3, "stripes": 3}
    assert (answer["images"], answer["name"]) == (6, "two\\nclasses")
    assert answer["bytes"] > sum(len(content) for _, content in sent)
    assert answer["created"].endswith("Z")
    assert response.headers["Location"] == f"/datasets/{answer['id']}"
    assert client.get(f"/datasets/{answer['id']}").json() == answer
    assert client.get("/datasets").json() == {"datasets": [answer]}
    folder = tmp_path / "datasets" / answer["id"]
    source = open_source(data_of(folder))
    found = [(row.label, (folder / "images" / row.path).read_bytes()) for row in source.rows.itertuples()]
    assert found == sent
    numbered = {f"datasets/{answer['id']}/images/train/{n:07}.png" for n in range(1, 7)}
    folder_name = f"datasets/{answer['id']}"
    assert files_below(tmp_path) == numbered | {f"{folder_name}/images/train.csv", f"{folder_name}/source.json"}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_archives_are_kept_as_they_are(api: Api, tmp_path: Path, mode: str) -> None:
    content = zip_of(class_folders(2)) if mode == "zip" else tar_of(class_folders(2), mode)
    answer = send_archive(api(), content, "wrong-name.txt").json()
    assert answer["classes"] == {"plain": 2, "stripes": 2}
    (archive,) = (tmp_path / "datasets" / answer["id"]).glob("archive.*")
    assert archive.read_bytes() == content


@pytest.mark.slow
def test_every_layout_is_recognised(api: Api) -> None:
    client = api()
    content = dict(samples(1))
    splits = {
        f"{split}/{label}/{n}.png": content[label] for split in ("train", "test") for label in content for n in "12"
    }
    generators = {f"gan/{name}": content for name, content in splits.items()}
    generators |= {f"diffusion/{name}": content for name, content in splits.items()}
    rows = "file,kind\n" + "".join(f"{n},{label}\n" for n, label in enumerate(content))
    tables = {f"train/{n}.png": content[label] for n, label in enumerate(content)} | {"train.csv": rows.encode()}
    for members, fields, counted in (
        (splits, {}, {"plain": 2, "stripes": 2}),
        (generators, {}, {"plain": 4, "stripes": 4}),
        (tables, {"image_column": "file", "label_column": "kind"}, {"plain": 1, "stripes": 1}),
    ):
        response = send_archive(client, zip_of(members), **fields)
        assert response.status_code == 201, response.text
        assert response.json()["classes"] == counted


@pytest.mark.slow
def test_a_table_beside_images_keeps_its_columns(api: Api, tmp_path: Path) -> None:
    images = [(f"some/{n}.png", content) for n, (_, content) in enumerate(samples(2))]
    text = "file,kind,prompt\n" + "".join(f"{n},{label},p{n // 2}\n" for n, (label, _) in enumerate(samples(2)))
    answer = table(api(), images, text, image_column="file", label_column="kind").json()
    assert answer["classes"] == {"plain": 2, "stripes": 2}
    rows = open_source(data_of(tmp_path / "datasets" / answer["id"], group_column="prompt")).rows
    assert rows["group_name"].tolist() == ["p0", "p0", "p1", "p1"]


@pytest.mark.slow
def test_the_same_content_is_one_data_set_for_one_key(api: Api, tmp_path: Path) -> None:
    client = api(require_keys=True)
    engine = client.app.state.engine  # type: ignore[attr-defined]
    keys = {name: create_key(engine, name, [scope]) for name, scope in (("a", "fit"), ("b", "fit"), ("c", "admin"))}
    headers = {name: {"X-API-Key": key} for name, key in keys.items()}
    content = zip_of(class_folders(2))

    def post(name: str) -> Any:
        return client.post("/datasets", files={"archive": ("a.zip", content)}, headers=headers[name])

    first, again, other = post("a"), post("a"), post("b")
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 201]
    assert first.json() == again.json()
    assert first.json()["digest"] == other.json()["digest"]
    assert first.json()["id"] != other.json()["id"]
    path = f"/datasets/{first.json()['id']}"
    assert client.get(path, headers=headers["b"]).status_code == 404
    assert client.delete(path, headers=headers["b"]).status_code == 404
    assert len(client.get("/datasets", headers=headers["c"]).json()["datasets"]) == 2
    assert client.delete(path, headers=headers["c"]).status_code == 204
    assert client.get(path, headers=headers["a"]).status_code == 404
    assert not (tmp_path / path.strip("/")).exists()
    assert client.get("/datasets").status_code == 401


@pytest.mark.slow
def test_files_that_are_gone_come_back_when_they_are_sent_again(api: Api, tmp_path: Path) -> None:
    client = api()
    content = zip_of(class_folders(2))
    sent = send_archive(client, content).json()
    before = files_below(tmp_path)
    shutil.rmtree(tmp_path / "datasets")
    path = f"/datasets/{sent['id']}"
    gone = client.get(f"{path}/images")
    line = f"the files of the data set {sent['id']} are gone; send it again"
    assert (gone.status_code, gone.json()["detail"]) == (422, line)
    again = send_archive(client, content)
    assert (again.status_code, again.json()) == (200, sent)
    assert files_below(tmp_path) == before
    assert client.get(f"{path}/images").json()["splits"]["train"] == 4


TWO = [("a.png", png(0, "plain")), ("b.png", png(1, "plain"))]


@pytest.mark.parametrize(
    ("send", "message"),
    [
        (lambda c: send_images(c, TWO, ["a"]), "there are 2 images and 1 labels; send one label per image"),
        (lambda c: send_images(c, TWO, ["a", " "]), "labels: 1 are empty: 2"),
        (lambda c: send_images(c, TWO, ['["a", null]']), "labels: 1 are not text: 2"),
        (lambda c: send_images(c, TWO, ['[{"a": 1}, "\\ud800"]']), "labels: 2 are not text: 1, 2"),
        (lambda c: send_images(c, TWO, ["[true, 1.5]"]), "labels: 2 are not text: 1, 2"),
        (lambda c: send_images(c, TWO, ['["a", "b", null]']), "labels: 1 are not text: 3"),
        (lambda c: send_images(c, TWO, ["a", "a"]), "2 images: train has only one class, 'a'; it needs at least two"),
        (
            lambda c: send_images(c, [TWO[0], ("b.png", b"<html>")], ["a", "b"]),
            "image 2, 'b.png', is no PNG, JPEG, WebP, BMP, TIFF or GIF",
        ),
        (lambda c: table(c, TWO, "image_id,label\na,x\n"), "labels.csv: 1 image(s) are in no row: b.png"),
        (lambda c: table(c, TWO, "id,label\na,x\n"), "labels.csv has no column 'image_id'; name it in image_column"),
        (lambda c: table(c, TWO, "image_id,kind\na,x\nb,y\n"), "has no column 'label' (data.label_column)"),
        (lambda c: table(c, TWO, "image_id,label\na,x\na,y\n"), "labels.csv: 'a' has two different rows; keep one"),
        (
            lambda c: send_archive(c, zip_of(class_folders(1)), labels=["a", "b"]),
            "labels are for images in `files`; an archive has its own, in folders or a train.csv",
        ),
        (lambda c: send_archive(c, b"hello"), "'mine.zip' is neither a .zip nor a .tar, .tar.gz, .tar.bz2 or .tar.xz"),
        (lambda c: send_archive(c, zip_of({"../a/1.png": b""})), "mine.zip has 1 member(s) that point outside it"),
        (lambda c: send_archive(c, zip_of({"a.txt": b""})), "mine.zip has no images (looked for "),
        (lambda c: send_archive(c, zip_of(class_folders(1))[:-9]), "mine.zip cannot be read as an archive"),
        (lambda c: send_archive(c, zip_of(class_folders(1)), layout="x"), "layout: should be csv or folders, not 'x'"),
        (
            lambda c: c.post("/datasets", files={"archive": ("a", b"")}, data={"layout": ["csv", "csv"]}),
            "layout is given 2 times; give it once",
        ),
        (
            lambda c: send_archive(c, b"PK\3\4", path="/etc"),
            "the field 'path' is no field of text; known: image_column",
        ),
        (lambda c: c.post("/datasets", files={"x": ("a", b"")}), "the field 'x' is no field of files; known: archive"),
        (lambda c: c.post("/datasets", data={"name": "a"}, files={}), "send multipart/form-data"),
    ],
)
def test_what_is_refused_is_reported_and_leaves_nothing(
    refusing: tuple[TestClient, Path], send: Any, message: str
) -> None:
    client, folder = refusing
    response = send(client)
    assert response.status_code in (415, 422), response.text
    assert message in response.json()["detail"]
    assert str(folder) not in response.text
    assert files_below(folder) == set()


def bomb(packed: bytes, method: int, mebibytes: int) -> bytes:
    """A .zip whose directory tells the truth about a long member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a/1.bmp", bytes(mebibytes * 2**20))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        (zip_of(class_folders(3)), {"max_members": 5}, "mine.zip has more than 5 members; send it in parts"),
        (tar_of(class_folders(3)), {"max_members": 5}, "mine.zip has more than 5 members; send it in parts"),
        (bomb(b"", zipfile.ZIP_DEFLATED, 9), {}, "mine.zip would be more than 100 times its own size when unpacked"),
        (bomb(b"", zipfile.ZIP_LZMA, 9), {}, "mine.zip would be more than 100 times its own size when unpacked"),
        (tar_of({"a/1.bmp": bytes(2**23)}, "w:xz"), {}, "would be more than 100 times its own size when unpacked"),
        (tar_of({"a/1.bmp": bytes(2**23)}, "w"), {"max_unpacked_mib": 4}, "would be more than 4 MiB when unpacked"),
        (
            tar_of({"a/1.bmp": b""}, "w:gz") + zeros_deflated(64, 31) + bytes(8),
            {},
            "would be more than 100 times its own size when unpacked",
        ),
        (
            tar_of({"a/1.bmp": b""}, "w:bz2") + zeros_bzip2(64),
            {},
            "would be more than 100 times its own size when unpacked",
        ),
    ],
    ids=[
        "zip members",
        "tar members",
        "deflate",
        "lzma",
        "xz",
        "tar size",
        "gzip after the end",
        "bzip2 after the end",
    ],
)
def test_bombs_are_refused(
    api: Api, refusing: tuple[TestClient, Path], tmp_path: Path, content: bytes, limits: dict[str, Any], message: str
) -> None:
    client, folder = (api(**limits), tmp_path) if limits else refusing
    response = send_archive(client, content)
    assert response.status_code == 422
    assert message in response.json()["detail"]
    assert files_below(folder) == set()


def test_parts_of_a_form_count_as_text(refusing: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fakeprint.service.forms.TEXT_BYTES", 2**20)
    client, folder = refusing
    line = (
        "the form has too many parts or too much text; send an archive "
        "(a form may have 1 MiB of text, to which each part adds 512 bytes)"
    )
    for sent in (send_images(client, TWO, ["a"] * 2**11), send_images(client, TWO, ["a" * 2**20])):
        assert (sent.status_code, sent.json()["detail"]) == (413, line)
    assert send_images(client, TWO, []).status_code == 422
    assert files_below(folder) == set()


@pytest.mark.slow
def test_bodies_beyond_the_limits_are_refused_while_they_arrive(api: Api, tmp_path: Path) -> None:
    client = api(max_archive_mib=1, max_file_mib=0.5, max_members=3)
    for response, message in (
        (send_archive(client, os.urandom(2**20 + 1)), "longer than 1 MiB (FAKEPRINT_MAX_ARCHIVE_MIB) together"),
        (send_images(client, [("a", bytes(2**19 + 1))], ["a"]), "the image 'a' is longer than 0.5 MiB"),
        (send_images(client, [("a", b"")] * 4, ["a"] * 4), "more than 3 files; send an archive in parts"),
    ):
        assert response.status_code == 413, response.text
        assert message in response.json()["detail"]
        assert files_below(tmp_path) == set()


@pytest.mark.slow
def test_an_announced_length_beyond_the_limit_is_refused(api: Api, tmp_path: Path) -> None:
    client = api(max_archive_mib=1)
    headers = {"Content-Length": str(2**30), "Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/datasets", content=b"", headers=headers).status_code == 413
    assert files_below(tmp_path) == set()


@pytest.mark.slow
def test_disk_space_has_a_limit_that_deleting_frees(api: Api) -> None:
    client = api(datasets_mib=0.02)
    first = send_archive(client, zip_of(class_folders(2)))
    assert first.status_code == 201
    other = zip_of({f"{name}x.png": content for name, content in class_folders(2).items()})
    refused = send_archive(client, other)
    assert refused.status_code == 413
    assert "would exceed the 0.02 MiB of all data sets (FAKEPRINT_DATASETS_MIB); delete some first" in refused.text
    assert client.delete(f"/datasets/{first.json()['id']}").status_code == 204
    assert send_archive(client, other).status_code == 201


@pytest.mark.slow
def test_a_start_removes_what_a_crash_left_and_nothing_else(api: Api, tmp_path: Path) -> None:
    known = send_archive(api(), zip_of(class_folders(2))).json()["id"]
    for left in (f"datasets/{'0' * 32}/archive.zip", f"dvc-cache/{'0' * 32}/files", "uploads/.x.1-1@gone.partial/1"):
        (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / left).touch()
        os.utime(tmp_path / left, (0, 0))
    os.utime(tmp_path / "uploads/.x.1-1@gone.partial", (0, 0))
    api()
    assert files_below(tmp_path) == {f"datasets/{known}/archive.zip", f"datasets/{known}/source.json"}


PARTS = st.lists(
    st.tuples(
        st.sampled_from(["archive", "files", "table", "labels", "name", "layout", "", "\0", "é"]),
        st.one_of(st.none(), st.text(max_size=20), st.just("../../../../tmp/x"), st.just("/etc/passwd")),
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from([zip_of(class_folders(1)), tar_of(class_folders(1)), png(0, "plain"), b"image_id,label\n"]),
            st.integers(0, 600).map(lambda length: zip_of(class_folders(1))[length:]),
            st.just(zeros_lzma(1)),
        ),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(parts=PARTS, cut=st.one_of(st.just(None), st.integers(0, 500)), boundary=st.sampled_from(["x", "x" * 71, ""]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_forms_are_refused_or_kept_inside(
    api: Api, tmp_path: Path, parts: list[Any], cut: int | None, boundary: str
) -> None:
    if not hasattr(api, "client"):
        api.client = api(datasets_mib=0.01)  # type: ignore[attr-defined]
    body = b""
    for field, filename, content in parts:
        name = f'; filename="{filename}"' if filename is not None else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'
        body += head.encode(errors="replace") + content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    response = api.client.post("/datasets", content=body[:cut], headers=headers)  # type: ignore[attr-defined]
    assert response.status_code in (200, 201, 413, 415, 422), response.text
    if not response.is_success:
        assert "\n" not in response.json()["detail"]
    known = {f"datasets/{row['id']}/" for row in api.client.get("/datasets").json()["datasets"]}  # type: ignore[attr-defined]
    assert {name[: len("datasets/") + 33] for name in files_below(tmp_path)} == known


@pytest.mark.slow
def test_labels_may_be_one_field_of_json(api: Api) -> None:
    answer = send_images(api(), TWO, [json.dumps(["x", 7])]).json()
    assert answer["classes"] == {"7": 1, "x": 1}
