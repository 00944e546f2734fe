"""From the source's files to the arrays: every image of the manifest decoded and resized once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from fakeprint.data.arrays import ARRAYS, CALIBRATION, SPLITS, Dataset, resized, save_index
from fakeprint.data.containers import Container
from fakeprint.data.decode import decode
from fakeprint.data.scan import stream
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
        InputError: a file that `validate` could read cannot be read any more.
    """
    splits = {split: manifest[manifest["split"] == split] for split in (*SPLITS, CALIBRATION)}
    paths = [path for rows in splits.values() for path in rows["path"]]
    starts = np.cumsum([0, *map(len, splits.values())])
    read = np.zeros(len(paths), dtype=bool)
    use = partial(prepared, dataset=dataset)
    with ExitStack() as stack:
        files = [
            stack.enter_context(_array_file(folder / f"{split}.npy", len(rows), dataset.image_size))
            for split, rows in splits.items()
        ]
        for row, pixels in stream(container, paths, dataset.max_pixels, use, workers, "prepare"):
            read[row] = not isinstance(pixels, str)
            if not isinstance(pixels, str):
                number = int(np.searchsorted(starts, row, side="right")) - 1
                file, start = files[number]
                file.seek(start + (row - int(starts[number])) * pixels.nbytes)
                file.write(pixels.tobytes())
        if not read.all():
            lost = [paths[row] for row in np.flatnonzero(~read)]
            raise InputError(
                f"{container.path}: {len(lost)} file(s) changed since validate: {first_few(lost)}; run "
                "`dvc repro --force validate`"
            )
    for split, rows in splits.items():
        save_index(split, rows, dataset.classes, folder)


@contextmanager
def _array_file(path: Path, count: int, size: int) -> Iterator[tuple[BinaryIO, int]]:
    """A .npy of `count` images, zeros at first, to write into, and where in it the images start."""
    shape = (count, size, size, 3)
    with written(path) as partial_path, partial_path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start = file.tell()
        file.truncate(start + int(np.prod(shape)))
        yield file, start


def prepared(content: bytes, row: int, dataset: Dataset) -> np.ndarray:
    """An image file as the arrays hold it, uint8 (S, S, 3); its row makes no difference. Raises Unreadable."""
    return resized(decode(content, dataset.max_pixels).rgb, dataset.image_size, dataset.resize)
