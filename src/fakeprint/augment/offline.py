"""Augmented copies of the train images, made once and stored. Validation and test images are never augmented."""

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed

from fakeprint import seeds
from fakeprint.augment import drawing, transforms
from fakeprint.data.arrays import COPIES, Split
from fakeprint.data.crops import RandomCrops, random_crops
from fakeprint.files import written_folder
from fakeprint.parallel import in_order
from fakeprint.params import Augment
from fakeprint.progress import track

CHUNK = 256  # images per task


Images = np.ndarray | RandomCrops


def make_copies(
    train: Split, settings: Augment, seed: int, workers: int | None, side: int, folder: Path = COPIES.parent
) -> None:
    """Write `settings.copies` copies of each train image to `folder`: copies.npy and copies.parquet.

    copies.npy: uint8 (M, side, side, 3), first copy 1 of every image, then copy 2 of every image, …; M = 0 without
    copies.
    copies.parquet: image_id (`PARENT~1`), parent (image_id), parent_row (row in train), class, transform (the plan in
    words). Copy c of row i depends only on seed, c and i, so neither more copies nor other `workers` change it.
    side: of the images in pixels. Where they are kept whole, each copy is made of another random crop.
    """
    images = random_crops(train.images, side)
    shape = (len(images) * settings.copies, *images.shape[1:])
    with written_folder(folder) as partial:
        if 0 in shape:
            np.save(partial / "copies.npy", np.empty(shape, np.uint8))
            done: list[str] = []
        else:
            np.lib.format.open_memmap(partial / "copies.npy", "w+", np.uint8, shape).flush()
            done = _fill(images, settings, seed, workers, partial / "copies.npy")
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


def _fill(images: Images, settings: Augment, seed: int, workers: int | None, path: Path) -> list[str]:
    """Write every copy into the array at `path`; return its plan in words."""
    rows = len(images)
    chunks = [slice(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]
    tasks = (
        delayed(_copies)(_originals(images, chunk, seed, copy), settings, numbers[chunk])
        for copy in range(1, settings.copies + 1)
        for numbers in [drawing.uniforms(rows, seed, "augment", copy)]  # of one copy at a time: 39 numbers per image
        for chunk in chunks
    )
    out = np.load(path, mmap_mode="r+")
    one_by_one = (made for made_of_chunk in in_order(tasks, workers) for made in made_of_chunk)
    done = []
    for row, (pixels, text) in enumerate(track(one_by_one, "augmenting", total=rows * settings.copies)):
        out[row] = pixels
        done.append(text)
    out.flush()
    return done


def _originals(images: Images, chunk: slice, seed: int, copy: int) -> np.ndarray:
    """What copies number `copy` of these rows are made of."""
    if not isinstance(images, RandomCrops):
        return images[chunk]
    draws = seeds.generator(seed, "augment/crops", copy).random((len(images), 2))
    return images.at(np.arange(len(images))[chunk], draws[chunk])


def _copies(images: np.ndarray, settings: Augment, numbers: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """One copy of each image, and its plan in words. Returned, not written: cluster workers may not share files."""
    plans = drawing.plans(drawing.Augmentation.of(settings), numbers)
    return [(transforms.apply(image, plan), str(plan)) for image, plan in zip(images, plans, strict=True)]
