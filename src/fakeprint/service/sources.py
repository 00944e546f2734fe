"""From the files of a form to a source that the pipeline reads: an archive as it is, or images in numbered files."""

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeprint.data.containers import open_container
from fakeprint.data.containers.limits import Limits, require_limits
from fakeprint.data.sources import Source, open_source
from fakeprint.data.tables import read_table
from fakeprint.errors import InputError, first_few, printable
from fakeprint.files import read_json, write_json
from fakeprint.params import Data
from fakeprint.service.forms import Form, SentFile
from fakeprint.service.settings import MIB, Settings

FILES, TEXTS = {"archive", "files", "table"}, {"name", "labels", "layout", "image_column", "label_column"}
DESCRIPTION = "source.json"  # beside the source: its name, and the keys of the block `data` that it needs
LONGEST_NAME = 255
# The first bytes of what may be sent, and how its file is then named.
ARCHIVES = {b"PK\3\4": ".zip", b"PK\5\6": ".zip", b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ\0": ".tar.xz"}
IMAGES = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"GIF8": ".gif",
}


@dataclass(frozen=True)
class Prepared:
    """A source in a folder, with its `DESCRIPTION`.

    digest: SHA-256 over its content and what it needs to be read. images: in all splits. classes: train images of each.
    """

    folder: Path
    name: str
    digest: str
    bytes: int
    images: int
    classes: dict[str, int]


def data_of(folder: Path, title: str = "data set", **changes: Any) -> Data:
    """The block `data` of params.yaml for a prepared source. changes: other keys of it."""
    known = read_json(folder / DESCRIPTION)
    path = (folder / known.pop("path")).resolve().as_posix()
    return Data(**({"title": title, "path": path} | known | changes))


def open_prepared(folder: Path, data: Data, shown: str) -> Source:
    """List a prepared source. shown: what a message is to call it. Raises InputError."""
    try:
        return open_source(data)
    except InputError as error:
        raise InputError(_without_paths(str(error), folder, data.path, shown)) from None


def _without_paths(message: str, folder: Path, path: str, shown: str) -> str:
    """The message with the sent name instead of places on this machine."""
    for place in (path, str(folder.resolve()), str(folder)):
        message = message.replace(place, shown)
    return message.removeprefix("data.path: ")


def prepare(form: Form, settings: Settings) -> Prepared:
    """Make a source of what was sent, in the form's folder, and check it by the pipeline's own rules.

    Raises:
        InputError: what was sent is no data set, or exceeds a limit.
    """
    folder = form.folder / "source"
    folder.mkdir()
    files = form.files
    requested = form.text("layout")
    columns = {key: value for key in ("image_column", "label_column") if (value := form.text(key))}
    if len(files.get("archive", [])) == 1 and not files.get("files") and not files.get("table"):
        if "labels" in form.texts:
            raise InputError("labels are for images in `files`; an archive has its own, in folders or a train.csv")
        archive = files["archive"][0]
        path, digest = _take_archive(archive, folder, settings), archive.digest
        name = archive.name
        layout = requested or _layout_of(path, folder, printable(name))
    elif files.get("files") and not files.get("archive"):
        path, name, layout = folder / "images", f"{len(files['files'])} images", "csv"
        rows = _rows(form, columns)
        digest = _take_images(files["files"], rows, path)
        columns = {"image_column": "image_id", "label_column": columns.get("label_column", "label")}
        if not files.get("table"):
            columns["label_column"] = "label"
    else:
        raise InputError("send one field `archive`, or images in `files` with their `labels` or a `table`")
    name = printable((form.text("name") or name)[:LONGEST_NAME])
    description = {"path": path.name, "layout": layout, **columns}
    write_json(folder / DESCRIPTION, description)
    return _checked(folder, name, digest, description)


def _checked(folder: Path, name: str, digest: str, description: dict[str, str]) -> Prepared:
    try:
        data = data_of(folder)
    except ValueError:
        raise InputError(f"layout: should be csv or folders, not '{printable(description['layout'])}'") from None
    source = open_prepared(folder, data, name)
    train = source.rows[source.rows["split"] == "train"]
    counts = train["label"].value_counts().sort_index()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != DESCRIPTION)
    identity = hashlib.sha256(json.dumps([digest, description], sort_keys=True).encode())
    classes = {str(label): int(count) for label, count in counts.items()}
    return Prepared(folder, name, identity.hexdigest(), size, len(source.rows), classes)


def _take_archive(archive: SentFile, folder: Path, settings: Settings) -> Path:
    with archive.path.open("rb") as file:
        start = file.read(512)
    suffix = next((suffix for magic, suffix in ARCHIVES.items() if start.startswith(magic)), None)
    if suffix is None and start[257:262] == b"ustar":
        suffix = ".tar"
    shown = printable(archive.name)
    if suffix is None:
        raise InputError(f"'{shown}' is neither a .zip nor a .tar, .tar.gz, .tar.bz2 or .tar.xz")
    path = archive.path.rename(folder / f"archive{suffix}")
    limits = Limits(settings.max_members, int(settings.max_unpacked_mib * MIB), settings.max_ratio)
    try:
        require_limits(path, limits)
    except InputError as error:
        raise InputError(_without_paths(str(error), folder, str(path), shown)) from None
    return path


def _layout_of(path: Path, folder: Path, shown: str) -> str:
    try:
        names = open_container(path).names
    except InputError as error:
        raise InputError(_without_paths(str(error), folder, str(path), shown)) from None
    return "csv" if any(name.rpartition("/")[2].lower() == "train.csv" for name in names) else "folders"


def _take_images(files: Sequence[SentFile], rows: Sequence[dict[str, str]], path: Path) -> str:
    """Move images to numbered names, with a train.csv beside them. Returns their digest, whatever their names were."""
    (path / "train").mkdir(parents=True)
    digest = hashlib.sha256()
    table = []
    for number, (upload, row) in enumerate(zip(files, rows, strict=True), start=1):
        with upload.path.open("rb") as file:
            start = file.read(16)
        suffix = next((suffix for magic, suffix in IMAGES.items() if start.startswith(magic)), None)
        if suffix is None:
            raise InputError(f"image {number}, '{printable(upload.name)}', is no PNG, JPEG, WebP, BMP, TIFF or GIF")
        name = f"{number:07}{suffix}"
        upload.path.rename(path / "train" / name)
        table.append({"image_id": name} | row)
        digest.update(json.dumps([upload.digest, row], sort_keys=True).encode())
    with (path / "train.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return digest.hexdigest()


def _rows(form: Form, columns: dict[str, str]) -> list[dict[str, str]]:
    """What train.csv says of each image, without its id."""
    files, tables = form.files["files"], form.files.get("table", [])
    if tables and "labels" in form.texts:
        raise InputError("both labels and a table are given; send one of them")
    if len(tables) == 1:
        return _rows_of_table(files, tables[0], form.folder, columns.get("image_column", "image_id"))
    labels = form.texts.get("labels", [])
    if len(labels) == 1 and labels[0].lstrip().startswith("["):
        labels = _listed(form.json("labels", []))
    if len(labels) != len(files):
        raise InputError(f"there are {len(files)} images and {len(labels)} labels; send one label per image")
    empty = [str(number) for number, label in enumerate(labels, start=1) if not label.strip()]
    if empty:
        raise InputError(f"labels: {len(empty)} are empty: {first_few(empty)}")
    return [{"label": label} for label in labels]


def _listed(given: object) -> list[str]:
    """The labels of a JSON list: text, or whole numbers, which become text. Raises InputError for anything else."""
    labels = given if isinstance(given, list) else []
    wrong = [str(number) for number, label in enumerate(labels, start=1) if not _is_label(label)]
    if wrong:
        raise InputError(f"labels: {len(wrong)} are not text: {first_few(wrong)}")
    return [str(label) for label in labels]


def _is_label(given: object) -> bool:
    """Whether it is a whole number, or text without the halves of characters that JSON can write as \\ud800."""
    if isinstance(given, str):
        return not any("\ud800" <= character <= "\udfff" for character in given)
    return isinstance(given, int) and not isinstance(given, bool)


def _rows_of_table(files: Sequence[SentFile], table: SentFile, folder: Path, column: str) -> list[dict[str, str]]:
    shown = printable(table.name)
    (folder / "table").mkdir()
    read = _read_csv(table.path.rename(folder / "table" / "train.csv"), shown)
    if column not in read:
        raise InputError(f"{shown} has no column '{printable(column)}'; name it in image_column")
    records: list[dict[str, str]] = read.to_dict("records")
    by: dict[str, dict[str, str]] = {}
    for record in records:
        key = record.pop(column)
        record.pop("image_id", None)  # which is the name of the new column
        if key in by and by[key] != record:
            raise InputError(f"{shown}: '{printable(key)}' has two different rows; keep one")
        by[key] = record
    rows, missing = [], []
    for upload in files:
        name = upload.name.replace("\\", "/").rpartition("/")[2]
        row = next((by[key] for key in (upload.name, name, name.rpartition(".")[0]) if key in by), None)
        rows.append(row or {})
        if row is None:
            missing.append(name)
    if missing:
        raise InputError(f"{shown}: {len(missing)} image(s) are in no row: {first_few(missing)}")
    return rows


def _read_csv(path: Path, shown: str) -> Any:
    try:
        return read_table(open_container(path.parent), path.name)
    except InputError as error:
        raise InputError(_without_paths(str(error), path.parent, str(path), shown)) from None
