"""Labelled images as a model takes them, those of the pipeline's arrays, and a digest that tells sets apart."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from fakeprint.data.arrays import Dataset, Split, load_dataset, load_split
from fakeprint.errors import InputError
from fakeprint.progress import track

SPLIT: Final = "validation"
WHAT = "verify"  # beside progress bars


@dataclass(frozen=True)
class Image:
    """One image: id, class index, and pixels as the arrays hold them, or why there are none.

    pixels: uint8 (S, S, 3); (H, W, 3) of any size with resize: native.
    """

    image_id: str
    label: int
    pixels: np.ndarray | str


class Images(Protocol):
    """Labelled images that can be gone through more than once."""

    @property
    def title(self) -> str:
        """The title of the data."""

    @property
    def source(self) -> dict[str, Any]:
        """Values of `card.SOURCE_KEYS` by which the images were found."""

    def __iter__(self) -> Iterator[Image]:
        """The images, in any order."""

    def __len__(self) -> int:
        """Their number, unreadable ones included."""


@dataclass(frozen=True)
class Digest:
    """What tells sets of images apart, whatever their order: the number of readable ones and SHA-256 digests.

    pixels: of the pixels as the model takes them. labels: of pixels and labels. ids: of the ids.
    """

    images: int
    pixels: str
    labels: str
    ids: str


@dataclass(frozen=True)
class ArrayImages:
    """The validation split of data/arrays."""

    split: Split
    title: str
    source: dict[str, Any]

    def __iter__(self) -> Iterator[Image]:
        rows = zip(self.split.image_ids, self.split.labels, self.split.images, strict=True)
        for image_id, label, pixels in track(rows, WHAT, len(self)):
            yield Image(str(image_id), int(label), pixels)

    def __len__(self) -> int:
        return len(self.split.labels)


def of_arrays(folder: Path, title: str, source: dict[str, Any], dataset: Dataset) -> ArrayImages:
    """The validation split that the pipeline prepared. source: by which values, as far as it is known.

    Raises InputError where the arrays were prepared for other classes or in another size than the model's.
    """
    prepared_for = load_dataset(folder)
    for what in ("classes", "image_size", "resize"):
        if getattr(prepared_for, what) != getattr(dataset, what):
            shown = what.replace("_", " ")
            raise InputError(
                f"{folder} was prepared with other {shown} than the model's: run `dvc repro`, or give the images with "
                "--data PATH"
            )
    return ArrayImages(load_split(SPLIT, folder), title, source)


def digest_of(images: Iterable[Image], dataset: Dataset) -> tuple[Digest, list[tuple[str, str]]]:
    """The digest of the readable images; and id and reason of each other one.

    Holds three short texts per image in memory.
    """
    pixels, labels, ids, unreadable = [], [], [], []
    for image in images:
        if isinstance(image.pixels, str):
            unreadable.append((image.image_id, image.pixels))
            continue
        digest = hashlib.sha256(np.ascontiguousarray(image.pixels).tobytes()).digest()
        pixels.append(digest)
        labels.append(digest + dataset.classes[image.label].encode())
        ids.append(image.image_id.encode(errors="surrogateescape"))
    return Digest(len(pixels), joined_digest(pixels), joined_digest(labels), joined_digest(ids)), sorted(unreadable)


def joined_digest(parts: list[bytes]) -> str:
    """SHA-256 of texts in any order, each with its length, in hexadecimal."""
    joined = hashlib.sha256()
    for part in sorted(parts):
        joined.update(len(part).to_bytes(8, "little") + part)
    return joined.hexdigest()
