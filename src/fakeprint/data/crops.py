"""Crops of images that keep their own size: where they are, how they are read, and how their answers are averaged."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

import numpy as np
import pandas as pd

from fakeprint.data.arrays import Dataset, WholeImages
from fakeprint.params import Predict

LEAST = 1e-6  # a k-NN predicts probabilities of 0, which have no logarithm


def cells(height: int, width: int, size: int, most: int) -> tuple[int, int]:
    """Rows and columns of the cells that an image is divided into, with one crop in each: at most `most` cells.

    No more rows than ⌈height / size⌉ and no more columns than ⌈width / size⌉, which cover the image. If these are too
    many: the numbers for which the longer side of a cell is shortest, and of these the most cells.
    """
    rows, columns = max(1, math.ceil(height / size)), max(1, math.ceil(width / size))
    if rows * columns <= most:
        return rows, columns
    options = [(down, min(columns, most // down)) for down in range(1, min(rows, most) + 1)]
    return min(options, key=lambda cell: (max(height / cell[0], width / cell[1]), -cell[0] * cell[1]))


@lru_cache(maxsize=1024)  # of most sources, many images have the same size
def grid(height: int, width: int, size: int, most: int) -> np.ndarray:
    """Top and left of evenly spread crops, int64 (K, 2) in reading order, K ≤ `most`.

    Each crop is in the middle of its cell (see `cells`), moved as far as needed to be inside the image. Of an image
    that is smaller than a crop these are the places in its mirrored form (see `mirrored`).
    """
    height, width = max(height, size), max(width, size)
    tops, lefts = (
        [min(max(0, int((2 * cell + 1) * side / (2 * count) - size / 2)), side - size) for cell in range(count)]
        for side, count in zip((height, width), cells(height, width, size, most), strict=True)
    )
    places = np.array([(top, left) for top in tops for left in lefts], dtype=np.int64)
    places.flags.writeable = False  # shared by all callers
    return places


def mirrored(image: np.ndarray, size: int) -> np.ndarray:
    """An image, uint8 (H, W, 3), with its mirror image beyond its borders, so that no side is below `size` pixels.

    The image is in the middle, the border pixels are not repeated. Larger images are returned as they are.
    """
    missing = [max(0, size - side) for side in image.shape[:2]]
    if not any(missing):
        return image
    return np.pad(image, [(each // 2, each - each // 2) for each in missing] + [(0, 0)], mode="reflect")


def cut(image: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """The crops at these places, int (K, 2): uint8 (K, size, size, 3), a new array."""
    image = mirrored(image, size)
    return np.stack([image[top : top + size, left : left + size] for top, left in places])


def detail(crop: np.ndarray) -> int:
    """Energy of the high frequencies of a crop, uint8 (S, S, 3): the sum of squares of its Laplacian, in whole numbers.

    Of red + green + blue, without the border. Saturated and flat parts, where compression and clipping have left no
    trace of a generator, have none.
    """
    grey = crop.astype(np.int64).sum(axis=2)
    neighbours = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return int(np.square(4 * grey[1:-1, 1:-1] - neighbours).sum())


@dataclass(frozen=True)
class Cropping:
    """How an image is cut for a model to predict it.

    size: side of the crops in pixels. count: crops per image, at most. choice: "even" (spread over the image) or
    "detail" (those of the grid that covers the image with the highest energy of high frequencies, see `detail`, as
    Bondi et al. 2017 prefer textured patches for telling cameras apart).
    """

    size: int
    count: int
    choice: str = "even"

    def of(self, image: np.ndarray) -> np.ndarray:
        """The crops of an image, uint8 (H, W, 3) of any size: uint8 (K, S, S, 3), 1 ≤ K ≤ count, in reading order."""
        if self.choice == "even":
            return cut(image, grid(image.shape[0], image.shape[1], self.size, self.count), self.size)
        image = mirrored(image, self.size)
        places = covering(image.shape[0], image.shape[1], self.size)
        scores = [-detail(image[top : top + self.size, left : left + self.size]) for top, left in places]
        return cut(image, places[np.sort(np.argsort(scores, kind="stable")[: self.count])], self.size)


def covering(height: int, width: int, size: int) -> np.ndarray:
    """Top and left of as few evenly spread crops as cover the image, int64 (K, 2) in reading order."""
    return grid(height, width, size, math.ceil(height / size) * math.ceil(width / size))


def cropping_of(dataset: Dataset, predict: Predict) -> Cropping | None:
    """How a model of this dataset cuts images; None where images have been resized."""
    if dataset.resize != "native":
        return None
    return Cropping(dataset.image_size, predict.crops, predict.crop_choice)


def overlapping(height: int, width: int, size: int, most: int) -> np.ndarray:
    """Top and left of crops that cover the image and overlap by half, int64 (K, 2) in reading order.

    If there would be more than `most`, the fewest that cover it.
    """
    sides = [max(size, side) for side in (height, width)]
    counts = [math.ceil(2 * (side - size) / size) + 1 for side in sides]
    if counts[0] * counts[1] > most:
        return covering(height, width, size)
    tops, lefts = (
        [round(place * (side - size) / max(1, count - 1)) for place in range(count)]
        for side, count in zip(sides, counts, strict=True)
    )
    return np.array([(top, left) for top in tops for left in lefts], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of N images, those of one image after those of another.

    pixels: uint8 (M, S, S, 3). counts: int64 (N,), how many are of each image, each 1 or more.
    """

    pixels: np.ndarray
    counts: np.ndarray

    @classmethod
    def stacked(cls, crops: Sequence[np.ndarray], size: int) -> Self:
        """From the crops of each image, uint8 (K, size, size, 3); there may be no image."""
        pixels = np.concatenate(crops) if len(crops) else np.empty((0, size, size, 3), np.uint8)
        return cls(pixels, np.array([len(each) for each in crops], dtype=np.int64))

    @classmethod
    def of(cls, images: Iterable[np.ndarray], cropping: Cropping) -> Self:
        """From whole images, uint8 (H, W, 3) each."""
        return cls.stacked([cropping.of(image) for image in images], cropping.size)

    def __len__(self) -> int:
        return len(self.counts)


def averaged(probabilities: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """The probabilities of images from those of their crops.

    The mean of the logarithms, normalised: a logarithmic opinion pool with equal weights (Genest and Zidek 1986), for a
    network the mean of its logits. A crop that rules a class out counts more than in a mean of probabilities.

    Args:
        probabilities: float64 (M, C), a row per crop; those below 1e-6 count as 1e-6.
        counts: int64 (N,), crops of each image in turn, each 1 or more; None: each row is an image, and is returned as
            it is.

    Returns:
        float64 (N, C), rows that sum to 1.
    """
    if counts is None or not len(counts):
        return probabilities
    logs = np.log(np.clip(probabilities, LEAST, 1.0))
    means = np.add.reduceat(logs, np.cumsum(counts) - counts, axis=0) / counts[:, None]
    unnormalised = np.exp(means - means.max(axis=1, keepdims=True))
    return unnormalised / unnormalised.sum(axis=1, keepdims=True)


def crop_rows(index: pd.DataFrame, size: int, count: int) -> np.ndarray:
    """The number of the image that each row of `even_crops` is of, int64 (M,), by the index of a split.

    Where images have been resized, each is its own crop.
    """
    if "height" not in index:
        return np.arange(len(index), dtype=np.int64)
    sides = zip(index["height"].tolist(), index["width"].tolist(), strict=True)
    counts = [len(grid(height, width, size, count)) for height, width in sides]
    return np.repeat(np.arange(len(index), dtype=np.int64), counts)


def even_crops(images: "np.ndarray | WholeImages", size: int, count: int) -> "np.ndarray | EvenCrops":
    """The crops that classifiers are fitted on and epochs are chosen by; images that have been resized as they are."""
    return EvenCrops(images, size, count) if isinstance(images, WholeImages) else images


def random_crops(images: "np.ndarray | WholeImages", size: int) -> "np.ndarray | RandomCrops":
    """Crops to train networks on; images that have been resized as they are."""
    return RandomCrops(images, size) if isinstance(images, WholeImages) else images


@dataclass(frozen=True, eq=False)
class EvenCrops:
    """Evenly spread crops of all images, at most `count` of each, read as an array uint8 (M, size, size, 3) is."""

    images: WholeImages
    size: int
    count: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(M, S, S, 3)."""
        return len(self), self.size, self.size, 3

    @property
    def nbytes(self) -> int:
        """Bytes of all crops."""
        return math.prod(self.shape)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All that decides the pixels."""
        return [*self.images.arrays, np.array(self.shape), self.rows]

    @cached_property
    def _places(self) -> list[np.ndarray]:
        sides = zip(self.images.heights.tolist(), self.images.widths.tolist(), strict=True)
        return [grid(height, width, self.size, self.count) for height, width in sides]

    @cached_property
    def rows(self) -> np.ndarray:
        """The number of the image that each crop is of, int64 (M,)."""
        return np.repeat(np.arange(len(self.images), dtype=np.int64), [len(places) for places in self._places])

    @cached_property
    def _firsts(self) -> np.ndarray:
        return np.searchsorted(self.rows, np.arange(len(self.images)))

    def __getitem__(self, wanted: "slice | np.ndarray") -> np.ndarray:
        """The crops of a slice or of these numbers, uint8 (n, S, S, 3), a new array."""
        numbers = np.arange(len(self))[wanted]
        images, out = self.images.reopened(), np.empty((len(numbers), *self.shape[1:]), dtype=np.uint8)
        for place, number in enumerate(numbers):
            row = int(self.rows[number])
            (crop,) = cut(images[row], self._places[row][number - self._firsts[row]][None], self.size)
            out[place] = crop
        return out


@dataclass(frozen=True, eq=False)
class RandomCrops:
    """One crop of each image, at another place each time it is read. shape: that of an array uint8 (N, S, S, 3)."""

    images: WholeImages
    size: int

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, S, S, 3)."""
        return len(self), self.size, self.size, 3

    @property
    def nbytes(self) -> int:
        """Bytes of the whole images."""
        return self.images.pixels.nbytes

    @property
    def arrays(self) -> list[np.ndarray]:
        """All that decides the pixels, besides where they are cut."""
        return [*self.images.arrays, np.array(self.shape)]

    def at(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """A crop of each of these images, uint8 (len(rows), S, S, 3).

        draws: float64 (len(rows), 2) in [0, 1), where it is: down and right; every place is equally likely.
        """
        images, out = self.images.reopened(), np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        for place, (row, draw) in enumerate(zip(rows.tolist(), draws, strict=True)):
            image = mirrored(images[row], self.size)
            top, left = (int(u * (side - self.size + 1)) for u, side in zip(draw, image.shape[:2], strict=True))
            out[place] = image[top : top + self.size, left : left + self.size]
        return out
