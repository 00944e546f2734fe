"""From the source's files to the arrays: every image of the manifest decoded and resized once."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint.data.arrays import ARRAYS, Dataset, resized, save_index
from fakeprint.data.containers import Container
from fakeprint.data.decode import decode
from fakeprint.data.scan import stream
from fakeprint.errors import InputError, first_few
from fakeprint.files import written


def write_split(
    split: str,
    rows: pd.DataFrame,
    container: Container,
    dataset: Dataset,
    workers: int | None,
    folder: Path = ARRAYS,
) -> None:
    """Write <split>.npy and <split>.parquet, in the order of `rows`, which are rows of the manifest.

    Batches of images are written as they come from the processes, so that no larger array is held in memory.

    Raises:
        InputError: a file that `validate` could read can be read no more.
    """
    with written(folder / f"{split}.npy") as partial_path:
        shape = (len(rows), dataset.image_size, dataset.image_size, 3)
        with partial_path.open("wb") as file:
            np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            start = file.tell()
            file.truncate(start + int(np.prod(shape)))
            paths = rows["path"].tolist()
            lost = []
            use = partial(_image, dataset=dataset)
            for row, pixels in stream(container, paths, dataset.max_pixels, use, workers, f"prepare {split}"):
                if isinstance(pixels, str):
                    lost.append(paths[row])
                else:
                    file.seek(start + row * pixels.nbytes)
                    file.write(pixels.tobytes())
        if lost:
            raise InputError(
                f"{container.path}: {len(lost)} file(s) changed since validate: {first_few(lost)}; run "
                "`dvc repro --force validate`"
            )
    save_index(split, rows, dataset.classes, folder)


def _image(content: bytes, row: int, dataset: Dataset) -> np.ndarray:
    return resized(decode(content, dataset.max_pixels).rgb, dataset.image_size, dataset.resize)
