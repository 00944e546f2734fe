"""From the source's files to the arrays: every image of the manifest decoded, and resized or kept whole, once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from fakeprint.data.arrays import (
    ARRAYS,
    CALIBRATION,
    SPLITS,
    Dataset,
    as_stored,
    images_per_batch,
    save_index,
    starts_of,
)
from fakeprint.data.containers import Container
from fakeprint.data.decode import Unreadable, decode
from fakeprint.data.scan import BATCH, stream
from fakeprint.errors import InputError, first_few
from fakeprint.files import written


def write_splits(
    manifest: pd.DataFrame,
    container: Container,
    dataset: Dataset,
    workers: int | None,
    folder: Path = ARRAYS,
) -> None:
    """Write <split>.npy and <split>.parquet of every split, each in the order of its rows in the manifest.

    One pass over the source serves all splits. Batches of images are written as they come from the processes, so that
    no larger array is held in memory.

    Raises:
        InputError: a file that `validate` could read cannot be read any more, or has another size; an image is smaller
            than the dataset allows.
    """
    require_large_enough(manifest, dataset)
    splits = {split: manifest[manifest["split"] == split] for split in (*SPLITS, CALIBRATION)}
    paths = [path for rows in splits.values() for path in rows["path"]]
    starts = np.cumsum([0, *map(len, splits.values())])
    places = {split: _places(rows, dataset) for split, rows in splits.items()}
    read = np.zeros(len(paths), dtype=bool)
    use = partial(prepared, dataset=dataset)
    with ExitStack() as stack:
        files = [
            (*stack.enter_context(_array_file(folder / f"{split}.npy", shape)), own)
            for split, (shape, own) in places.items()
        ]
        per_batch = images_per_batch(manifest["height"], manifest["width"]) if dataset.resize == "native" else BATCH
        for row, pixels in stream(container, paths, dataset.max_pixels, use, workers, "prepare", per_batch):
            number = int(np.searchsorted(starts, row, side="right")) - 1
            file, start, own = files[number]
            first, last = own[row - starts[number] : row - starts[number] + 2].tolist()
            if not isinstance(pixels, str) and pixels.nbytes == last - first:
                read[row] = True
                file.seek(start + first)
                file.write(pixels.tobytes())
        if not read.all():
            lost = [paths[row] for row in np.flatnonzero(~read)]
            raise InputError(
                f"{container.path}: {len(lost)} file(s) changed since validate: {first_few(lost)}; run "
                "`dvc repro --force validate`"
            )
    for split, rows in splits.items():
        save_index(split, rows, dataset.classes, folder, whole=dataset.resize == "native")


def require_large_enough(manifest: pd.DataFrame, dataset: Dataset) -> None:
    """Raise InputError if an image is smaller than the dataset allows."""
    if dataset.small != "refuse":
        return
    small = manifest[manifest[["height", "width"]].min(axis=1) < dataset.image_size]
    if len(small):
        raise InputError(
            f"prepare.small: {len(small)} image(s) have a side below prepare.image_size, {dataset.image_size}: "
            f"{first_few(list(small['path']))}; set it to mirror, or lower prepare.image_size"
        )


def _places(rows: pd.DataFrame, dataset: Dataset) -> tuple[tuple[int, ...], np.ndarray]:
    """The shape of a split's array, and where each image begins in it and the last ends, in bytes: int64 (N + 1,)."""
    if dataset.resize == "native":
        heights, widths = rows["height"].to_numpy(), rows["width"].to_numpy()
        total = int(3 * (heights * widths).sum())
        return (total,), np.append(starts_of(heights, widths), total)
    shape = (len(rows), dataset.image_size, dataset.image_size, 3)
    return shape, np.arange(len(rows) + 1) * int(np.prod(shape[1:]))


@contextmanager
def _array_file(path: Path, shape: tuple[int, ...]) -> Iterator[tuple[BinaryIO, int]]:
    """A .npy of uint8 of this shape, zeros at first, to write into, and where in it the images start."""
    with written(path) as partial_path, partial_path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start = file.tell()
        file.truncate(start + int(np.prod(shape)))
        yield file, start


def prepared(content: bytes, row: int, dataset: Dataset) -> np.ndarray:
    """An image file as the arrays hold it, uint8 (S, S, 3), or (H, W, 3) where sizes are kept; row is not used.

    Raises Unreadable.
    """
    rgb = decode(content, dataset.max_pixels).rgb
    if dataset.refuses(*rgb.shape[:2]):
        raise Unreadable(dataset.too_small)
    return as_stored(rgb, dataset)
