"""Images that belong to no class: `data.unknown`, decoded and resized as `prepare` does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from fakeprint.data.arrays import Dataset, resized
from fakeprint.data.containers import Container, open_container
from fakeprint.data.decode import EXTENSIONS, decode
from fakeprint.data.scan import stream
from fakeprint.errors import InputError


@dataclass(frozen=True)
class Unlabelled:
    """Images of a folder or archive.

    images: uint8 (N, S, S, 3), mapped from a temporary file, zeros in rows that could not be decoded. paths: object
    (N,), inside the container. readable: bool (N,), at least one. set_aside: path and reason of the others.
    """

    images: np.ndarray
    paths: np.ndarray
    readable: np.ndarray
    set_aside: pd.DataFrame


@contextmanager
def decoded(key: str, path: str, dataset: Dataset, workers: int | None) -> Iterator[Unlabelled]:
    """Decode every image of a folder or archive by the rules of `prepare`, for as long as the context lasts.

    key: of params.yaml, for messages. workers: processes, None = one per core; they do not change the result. Raises
    InputError where there is no such container, no image in it, or none that can be decoded.
    """
    container = _opened(key, path)
    paths = [name for name in container.names if PurePosixPath(name).suffix.lower() in EXTENSIONS]
    if not paths:
        raise InputError(f"{key}: {path} has no images (looked for {', '.join(sorted(EXTENSIONS))})")
    with TemporaryDirectory(prefix="fakeprint-") as folder:
        shape = (len(paths), dataset.image_size, dataset.image_size, 3)
        file = Path(folder) / "images.npy"
        images = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
        reasons = np.full(len(paths), "missing", dtype=object)
        use = partial(_image, dataset=dataset)
        for row, pixels in stream(container, paths, dataset.max_pixels, use, workers, "unknown images"):
            if isinstance(pixels, str):
                reasons[row] = pixels
            else:
                images[row], reasons[row] = pixels, ""
        images.flush()
        readable = reasons == ""
        if not readable.any():
            raise InputError(f"{key}: none of the {len(paths)} images of {path} can be decoded ({reasons[0]})")
        names = np.array(paths, dtype=object)
        set_aside = pd.DataFrame({"path": names[~readable], "reason": reasons[~readable]})
        yield Unlabelled(np.load(file, mmap_mode="r"), names, readable, set_aside)


def _opened(key: str, path: str) -> Container:
    try:
        return open_container(path)
    except InputError as error:
        raise InputError(str(error).replace("data.path", key, 1)) from None


def _image(content: bytes, row: int, dataset: Dataset) -> np.ndarray:
    return resized(decode(content, dataset.max_pixels).rgb, dataset.image_size, dataset.resize)
