"""Augmented copies of the train images, made once and stored. Validation and test images never come here."""

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from fakeprint.augment import transforms
from fakeprint.data.arrays import Split
from fakeprint.files import written_folder
from fakeprint.params import Augment
from fakeprint.progress import track

AUGMENTED = Path("data/augmented")
CHUNK = 256  # images a task


def make_copies(train: Split, settings: Augment, seed: int, workers: int | None, folder: Path = AUGMENTED) -> None:
    """Write `settings.copies` copies of each train image to `folder`: copies.npy and copies.parquet.

    copies.npy: uint8 (M, H, W, 3), first every image's copy 1, then every copy 2, …; M = 0 without copies.
    copies.parquet: image_id (`PARENT~1`), parent (image_id), parent_row (row in train), class, transform (what was
    done). Copy c of row i depends on seed, c and i alone, so neither more copies nor other `workers` change it.
    """
    rows = len(train.images)
    shape = (rows * settings.copies, *train.images.shape[1:])
    with written_folder(folder) as partial:
        if 0 in shape:
            np.save(partial / "copies.npy", np.empty(shape, np.uint8))
            done: list[str] = []
        else:
            np.lib.format.open_memmap(partial / "copies.npy", "w+", np.uint8, shape).flush()
            done = _fill(train.images, settings, seed, workers, partial / "copies.npy")
        _index(train, settings.copies, done).to_parquet(partial / "copies.parquet")


def _index(train: Split, copies: int, done: list[str]) -> pd.DataFrame:
    rows = len(train.images)
    parent_row = np.tile(np.arange(rows, dtype=np.int64), copies)
    parents = [train.image_ids[row] for row in parent_row]
    numbers = np.repeat(np.arange(1, copies + 1), rows)
    columns = {
        "image_id": pd.Series([f"{parent}~{n}" for parent, n in zip(parents, numbers, strict=True)], dtype="str"),
        "parent": pd.Series(parents, dtype="str"),
        "parent_row": parent_row,
        "class": train.labels[parent_row],
        "transform": pd.Series(done, dtype="str"),
    }
    return pd.DataFrame(columns)


def _fill(images: np.ndarray, settings: Augment, seed: int, workers: int | None, path: Path) -> list[str]:
    """Write every copy into the array at `path`; return what was done to each."""
    rows = len(images)
    tasks = [
        (copy, start, min(start + CHUNK, rows))
        for copy in range(1, settings.copies + 1)
        for start in range(0, rows, CHUNK)
    ]
    numbers = {copy: transforms.uniforms(rows, seed, "augment", copy) for copy in range(1, settings.copies + 1)}
    finished = Parallel(n_jobs=workers or -1, return_as="generator")(
        delayed(_fill_chunk)(images, settings, numbers[copy][start:stop], (copy - 1) * rows, start, stop, path)
        for copy, start, stop in tasks
    )
    one_by_one = (text for texts in finished for text in texts)
    return list(track(one_by_one, "augmenting", total=rows * settings.copies))


def _fill_chunk(
    images: np.ndarray, settings: Augment, numbers: np.ndarray, offset: int, start: int, stop: int, path: Path
) -> list[str]:
    out = np.load(path, mmap_mode="r+")
    todo = transforms.plans(settings.transforms, settings.one_degradation, numbers)
    for row, plan in zip(range(start, stop), todo, strict=True):
        out[offset + row] = transforms.apply(images[row], plan)
    out.flush()
    return [str(plan) for plan in todo]
