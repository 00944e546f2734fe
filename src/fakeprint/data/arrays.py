"""The arrays that every model reads: per split one .npy of uint8 RGB images and an index."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from fakeprint.errors import InputError
from fakeprint.files import read_json, write_json, written

ARRAYS = Path("data/arrays")
COPIES, COPIES_INDEX = Path("data/augmented/copies.npy"), Path("data/augmented/copies.parquet")  # stored, of train
SPLITS = ("train", "validation", "test")
CALIBRATION = "calibration"  # a fold of train that no model learns from, where `calibrate.on: fold` asks for one


@dataclass(frozen=True)
class Dataset:
    """What all splits share, and all that is needed to prepare a new image as the models were trained.

    classes: the labels as strings, sorted; position = class index. names: their names in reports.
    image_size: side in pixels. resize: "squash" or "crop". max_pixels: decompression bomb limit.
    """

    classes: list[str]
    names: list[str]
    image_size: int
    resize: str
    max_pixels: int


@dataclass(frozen=True)
class Split:
    """One split.

    images: uint8 (N, H, W, 3) RGB, memory-mapped. image_ids: str (N,). labels: int64 (N,), −1 where unknown.
    groups: int64 (N,), equal for images that must stay in one split. generators: object (N,), the generator of each
    image where the source names it, else None.
    """

    images: np.ndarray
    image_ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    generators: np.ndarray


def save_dataset(dataset: Dataset, folder: Path = ARRAYS) -> None:
    """Write dataset.json."""
    write_json(folder / "dataset.json", asdict(dataset))


def load_dataset(folder: Path = ARRAYS) -> Dataset:
    """Read dataset.json. Raises InputError where `prepare` has not run."""
    if not (folder / "dataset.json").exists():
        raise InputError(f"{folder / 'dataset.json'} is missing: run `dvc repro prepare` first")
    return Dataset(**read_json(folder / "dataset.json"))


def resized(rgb: np.ndarray, size: int, resize: str) -> np.ndarray:
    """Resize an image, uint8 (H, W, 3), to uint8 (size, size, 3); unchanged if it has that size.

    "squash" scales both sides to `size`; "crop" scales the shorter one and keeps the middle of the longer. Bicubic,
    with the antialiasing that Pillow gives where it shrinks.
    """
    height, width = rgb.shape[:2]
    side = min(height, width) if resize == "crop" else 0
    top, left = ((height - side) // 2, (width - side) // 2) if side else (0, 0)
    rgb = rgb[top : top + (side or height), left : left + (side or width)]
    if rgb.shape[:2] == (size, size):
        return np.ascontiguousarray(rgb)
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))


def save_index(split: str, rows: pd.DataFrame, classes: list[str], folder: Path = ARRAYS) -> None:
    """Write <split>.parquet, what `load_index` reads, in the order of <split>.npy.

    rows: image_id, label (None where unknown), group and generator (None where unknown) of the manifest.
    """
    number = {label: index for index, label in enumerate(classes)}
    index = pd.DataFrame(
        {
            "image_id": pd.array(rows["image_id"].to_numpy(dtype=object), dtype="str"),
            "class": np.array([-1 if label is None else number[label] for label in rows["label"]], dtype=np.int64),
            "group": rows["group"].to_numpy(dtype=np.int64),
            "generator": pd.array(rows["generator"].to_numpy(dtype=object), dtype="str"),
        }
    )
    with written(folder / f"{split}.parquet") as partial:
        index.to_parquet(partial)


def load_split(split: str, folder: Path = ARRAYS) -> Split:
    """Read one split, images memory-mapped. For a source without this split it has no images."""
    index = load_index(split, folder)
    images = np.load(folder / f"{split}.npy", mmap_mode="r")
    generators = index["generator"].astype(object)
    return Split(
        images,
        index["image_id"].to_numpy(dtype=object),
        index["class"].to_numpy(dtype=np.int64),
        index["group"].to_numpy(dtype=np.int64),
        generators.where(generators.notna(), None).to_numpy(dtype=object),
    )


def load_index(split: str, folder: Path = ARRAYS) -> pd.DataFrame:
    """Read <split>.parquet: image_id (str), class (int64 index, −1 where unknown), group (int64), generator (str)."""
    return pd.read_parquet(folder / f"{split}.parquet")
