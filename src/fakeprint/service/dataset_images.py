"""The images of a data set, one by one: listed from an index, read out of the folder or archive that was sent."""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fakeprint.data.arrays import SPLITS
from fakeprint.data.containers import Container, open_container
from fakeprint.data.containers.tars import CompressedTar
from fakeprint.data.decode import Unreadable
from fakeprint.errors import printable
from fakeprint.files import written
from fakeprint.service.problems import ServiceError
from fakeprint.service.sources import data_of, open_prepared

INDEX = "images.parquet"  # beside the source, written when its images are first asked for
ROWS = 1024  # of the index that are read at a time
OPEN = 4  # archives whose directories are kept in memory
COUNTS = b"images per split"
NO_IMAGE = "application/octet-stream"
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": ("image/png", ".png"),
    b"\xff\xd8\xff": ("image/jpeg", ".jpg"),
    b"BM": ("image/bmp", ".bmp"),
    b"II*\0": ("image/tiff", ".tif"),
    b"MM\0*": ("image/tiff", ".tif"),
    b"GIF8": ("image/gif", ".gif"),
}
MEDIA_TYPES = tuple(sorted({kind for kind, _ in SIGNATURES.values()} | {"image/webp", NO_IMAGE}))


class Listed(NamedTuple):
    """Some rows of an index. images: number, name, split, label of each. counts: images of each split."""

    images: list[dict[str, Any]]
    counts: dict[str, int]


def listed(folder: Path, split: str | None, first: int, most: int) -> Listed:
    """The images of a data set, in the pipeline's order: train, validation, test.

    Args:
        folder: of the prepared source.
        split: only images of this one.
        first: number of the first image; images are numbered from 0 through all splits.
        most: how many at most.

    Raises:
        InputError: its files cannot be listed.
    """
    table = _index(folder)
    counts: dict[str, int] = json.loads(table.metadata.metadata[COUNTS])
    begin, end = _range(counts, split)
    begin = max(begin, first)
    return Listed(_rows(table, begin, min(end, begin + most)), counts)


class Stored(NamedTuple):
    """The file of one image. number: of the image. container, path: where it is."""

    number: int
    container: Container
    path: str

    @property
    def takes_a_pass(self) -> bool:
        """Whether its archive is unpacked from the start for it: that takes a core, and longer the later it comes."""
        return isinstance(self.container, CompressedTar)

    def read(self, most_bytes: int) -> bytes:
        """The file's content, at most so many bytes.

        Raises:
            ServiceError: 422, it cannot be read, or is longer.
            InputError: the archive cannot be read.
        """
        try:
            return self.container.read(self.path, most_bytes)
        except Unreadable as error:
            raise ServiceError(422, f"image {self.number} cannot be read: {error.reason}") from None


def find(folder: Path, number: int) -> Stored:
    """One image of a data set.

    Args:
        folder: of the prepared source.
        number: of the image, as `listed` has it.

    Raises:
        ServiceError: 404, there is no such number.
        InputError: its files cannot be listed.
    """
    table = _index(folder)
    rows = _rows(table, number, number + 1)
    if not rows:
        count = table.metadata.num_rows
        raise ServiceError(404, f"there is no image {number}: the data set has {count:,}, numbered from 0")
    return Stored(number, _container(data_of(folder).path), rows[0]["path"])


def kind_of(content: bytes) -> tuple[str, str]:
    """The media type of a file by its first bytes, and the suffix that goes with it."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp", ".webp"
    return next((kind for start, kind in SIGNATURES.items() if content.startswith(start)), (NO_IMAGE, ".bin"))


@functools.lru_cache(OPEN)
def _container(path: str) -> Container:
    """An open folder or archive: what a data set's id names never changes."""
    return open_container(path)


def _range(counts: dict[str, int], split: str | None) -> tuple[int, int]:
    """Numbers of the split's first image, and after its last."""
    if split is None:
        return 0, sum(counts.values())
    before = sum(counts[each] for each in SPLITS[: SPLITS.index(split)])
    return before, before + counts[split]


def _rows(table: pq.ParquetFile, begin: int, end: int) -> list[dict[str, Any]]:
    end = min(end, table.metadata.num_rows)
    if begin >= end:
        return []
    groups = range(begin // ROWS, (end - 1) // ROWS + 1)
    skipped = groups[0] * ROWS
    found = table.read_row_groups(list(groups)).slice(begin - skipped, end - begin).to_pylist()
    return [{"number": number, **row} for number, row in enumerate(found, start=begin)]


def _index(folder: Path) -> pq.ParquetFile:
    """The index of a prepared source: name, split, label and path of each image that has a file."""
    file = folder / INDEX
    if not file.exists():
        source = open_prepared(folder, data_of(folder), "the data set")
        rows = source.rows[source.rows["path"].notna()]
        counts = {split: int((rows["split"] == split).sum()) for split in SPLITS}
        columns = {
            "name": [printable(str(name)) for name in rows["image_id"]],
            "split": rows["split"].tolist(),
            "label": [None if label is None else str(label) for label in rows["label"]],
            "path": rows["path"].tolist(),
        }
        table = pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))
        with written(file) as partial:
            pq.write_table(table.replace_schema_metadata({COUNTS: json.dumps(counts)}), partial, row_group_size=ROWS)
    return pq.ParquetFile(file)
