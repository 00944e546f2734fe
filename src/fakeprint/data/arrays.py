"""The arrays that every model reads: per split one .npy of uint8 RGB images and an index."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import pandas as pd
from PIL import Image

from fakeprint.errors import InputError
from fakeprint.files import read_json, write_json, written

ARRAYS = Path("data/arrays")
COPIES, COPIES_INDEX = Path("data/augmented/copies.npy"), Path("data/augmented/copies.parquet")  # stored, of train
BATCH_BYTES = 2**24  # bytes of whole images that a worker process gets or returns at a time
SPLITS = ("train", "validation", "test")
CALIBRATION = "calibration"  # a fold of train that no model learns from, where `calibrate.on: fold` asks for one


@dataclass(frozen=True)
class Dataset:
    """What all splits share, and all that is needed to prepare a new image as the models were trained.

    classes: the labels as strings, sorted; position = class index. names: their names in reports.
    image_size: side in pixels of what models take. resize: "squash", "crop" or "native" (images keep their size, and
    models take crops). max_pixels: decompression bomb limit. small: of native, what becomes of images with a side below
    `image_size`: "mirror" or "refuse"; else None.
    """

    classes: list[str]
    names: list[str]
    image_size: int
    resize: str
    max_pixels: int
    small: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields as dataset.json and the model.json of every model hold them."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def refuses(self, height: int, width: int) -> bool:
        """Whether an image of so many pixels is too small."""
        return self.small == "refuse" and min(height, width) < self.image_size

    @property
    def too_small(self) -> str:
        """The reason why an image is refused."""
        return f"smaller than {self.image_size}×{self.image_size} pixels"


@dataclass(frozen=True, eq=False)
class WholeImages:
    """Images that keep their sizes, in one flat array.

    pixels: uint8, RGB, one image after the other, memory-mapped. heights, widths, starts: int64 (N,), the sides of each
    image in pixels, and where its first value is.
    """

    pixels: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> Self:
        """Images that follow each other without gaps."""
        return cls(pixels, heights, widths, starts_of(heights, widths))

    def __len__(self) -> int:
        return len(self.heights)

    @overload
    def __getitem__(self, wanted: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, wanted: slice) -> list[np.ndarray]: ...

    @overload
    def __getitem__(self, wanted: np.ndarray) -> Self: ...

    def __getitem__(self, wanted: int | slice | np.ndarray) -> "np.ndarray | list[np.ndarray] | Self":
        """One image, uint8 (H, W, 3), a view; of a slice a list of copies; of row numbers (n,) the images themselves.

        Raises IndexError beyond the last.
        """
        if isinstance(wanted, np.ndarray):
            return type(self)(self.pixels, self.heights[wanted], self.widths[wanted], self.starts[wanted])
        if isinstance(wanted, slice):
            images = self.reopened()
            return [np.array(images[row]) for row in range(*wanted.indices(len(self)))]
        height, width, start = int(self.heights[wanted]), int(self.widths[wanted]), int(self.starts[wanted])
        return np.asarray(self.pixels[start : start + 3 * height * width]).reshape(height, width, 3)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def reopened(self) -> Self:
        """The same images, mapped anew, so that the memory of pages read through the map is freed with it."""
        if not isinstance(self.pixels, np.memmap):
            return self
        file, offset, shape = str(self.pixels.filename), self.pixels.offset, self.pixels.shape
        return type(self)(np.memmap(file, np.uint8, "r", offset, shape), self.heights, self.widths, self.starts)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All that the images consist of."""
        return [self.pixels, self.heights, self.widths, self.starts]


def images_per_batch(heights: Iterable[int], widths: Iterable[int]) -> int:
    """How many whole images of these sizes one task may hold: as many of the largest as `BATCH_BYTES`, at least one."""
    largest = max((3 * height * width for height, width in zip(heights, widths, strict=True)), default=1)
    return max(1, BATCH_BYTES // largest)


def starts_of(heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Where each image's first value is in the flat array, int64 (N,)."""
    lengths = 3 * heights.astype(np.int64) * widths
    return np.cumsum(lengths) - lengths


@dataclass(frozen=True)
class Split:
    """One split.

    images: uint8 (N, H, W, 3) RGB, memory-mapped; with resize: native, `WholeImages`. image_ids: str (N,).
    labels: int64 (N,), −1 where unknown.
    groups: int64 (N,), equal for images that must stay in one split. generators: object (N,), the generator of each
    image where the source names it, else None.
    """

    images: np.ndarray | WholeImages
    image_ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    generators: np.ndarray

    @property
    def of_one_size(self) -> np.ndarray:
        """The images, uint8 (N, S, S, 3). Raises TypeError with resize: native, which the caller has to refuse."""
        if isinstance(self.images, WholeImages):
            raise TypeError("images at their own size are not one array")
        return self.images


def save_dataset(dataset: Dataset, folder: Path = ARRAYS) -> None:
    """Write dataset.json."""
    write_json(folder / "dataset.json", dataset.as_json())


def load_dataset(folder: Path = ARRAYS) -> Dataset:
    """Read dataset.json. Raises InputError where `prepare` has not run."""
    if not (folder / "dataset.json").exists():
        raise InputError(f"{folder / 'dataset.json'} is missing: run `dvc repro prepare` first")
    return Dataset(**read_json(folder / "dataset.json"))


def as_stored(rgb: np.ndarray, dataset: Dataset) -> np.ndarray:
    """An image, uint8 (H, W, 3), as the arrays hold it: resized, or with resize: native unchanged."""
    if dataset.resize == "native":
        return np.ascontiguousarray(rgb)
    return resized(rgb, dataset.image_size, dataset.resize)


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


def save_index(split: str, rows: pd.DataFrame, classes: list[str], folder: Path = ARRAYS, whole: bool = False) -> None:
    """Write <split>.parquet, what `load_index` reads, in the order of <split>.npy.

    rows: image_id, label (None where unknown), group and generator (None where unknown) of the manifest. whole: the
    images keep their sizes, which are in rows too.
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
    if whole:
        for side in ("height", "width"):
            index[side] = rows[side].to_numpy(dtype=np.int64)
    with written(folder / f"{split}.parquet") as partial:
        index.to_parquet(partial)


def load_split(split: str, folder: Path = ARRAYS) -> Split:
    """Read one split, images memory-mapped. For a source without this split it has no images."""
    index = load_index(split, folder)
    pixels: np.ndarray = np.load(folder / f"{split}.npy", mmap_mode="r")
    images: np.ndarray | WholeImages = pixels
    if "height" in index:
        images = WholeImages.of(pixels, index["height"].to_numpy(), index["width"].to_numpy())
    generators = index["generator"].astype(object)
    return Split(
        images,
        index["image_id"].to_numpy(dtype=object),
        index["class"].to_numpy(dtype=np.int64),
        index["group"].to_numpy(dtype=np.int64),
        generators.where(generators.notna(), None).to_numpy(dtype=object),
    )


def load_index(split: str, folder: Path = ARRAYS) -> pd.DataFrame:
    """Read <split>.parquet: image_id (str), class (int64 index, −1 where unknown), group (int64), generator (str).

    With resize: native also height and width (int64), in pixels.
    """
    return pd.read_parquet(folder / f"{split}.parquet")
