"""Arrays that are read block by block: memory holds one block, however long the files are."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

BLOCK_BYTES = 2**26  # of float32: large enough for fast matrix products, and the same on every machine
BLOCK_ROWS = 2**14  # at most

Source = np.ndarray | Path
Change = Callable[[np.ndarray], np.ndarray]


def remapped(array: np.ndarray) -> np.ndarray:
    """A memory map opened anew, so that the pages read through it are given back with it; another array as it is.

    So are a view of a map, whose offset is the whole map's, and a map in Fortran's order.
    """
    if not isinstance(array, np.memmap) or not isinstance(array.filename, str | Path) or array.base is None:
        return array
    if isinstance(array.base, np.memmap) or not array.flags.c_contiguous:
        return array
    return np.memmap(array.filename, array.dtype, "r", array.offset, array.shape)


@dataclass(frozen=True, eq=False)
class Rows:
    """Feature rows, float32 (N, D), that lie in files: parts one above the other, each of some sets side by side.

    parts: each a sequence of .npy files or arrays (n, d) with as many rows. changes: what is done to each block that is
    read, one after the other, rows staying apart. chosen: numbers of the rows that count, in their order; None = all.
    """

    parts: tuple[tuple[Source, ...], ...]
    changes: tuple[Change, ...] = ()
    chosen: np.ndarray | None = None

    @classmethod
    def of(cls, rows: "np.ndarray | Rows") -> "Rows":
        """An array (N, D) as rows; rows as they are."""
        return rows if isinstance(rows, Rows) else cls(((rows,),))

    def __len__(self) -> int:
        return sum(self._lengths) if self.chosen is None else len(self.chosen)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self), sum(self._widths)

    @property
    def block_rows(self) -> int:
        """Rows of a block: `BLOCK_BYTES` of them, at most `BLOCK_ROWS`."""
        return min(BLOCK_ROWS, max(1, BLOCK_BYTES // (4 * max(1, self.shape[1]))))

    def above(self, other: "Rows") -> "Rows":
        """These rows, then those of `other`. Neither may be chosen from or changed yet."""
        return Rows(self.parts + other.parts)

    def at(self, numbers: np.ndarray) -> Self:
        """The rows of these numbers, int (M,), in this order."""
        return replace(self, chosen=numbers if self.chosen is None else self.chosen[numbers])

    def then(self, change: Change) -> Self:
        """The rows with each block changed: `change` takes and returns float32 (n, D), and may write into its input."""
        return replace(self, changes=(*self.changes, change))

    def blocks(self, size: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """All rows in their order, `size` (default `block_rows`) at once: which they are, and a new float32 (n, D)."""
        size = size or self.block_rows
        for start in range(0, len(self), size):
            place = slice(start, min(start + size, len(self)))
            numbers = np.arange(place.start, place.stop) if self.chosen is None else self.chosen[place]
            yield place, self._changed(self._read(numbers))

    def whole(self, dtype: type[np.floating] = np.float32) -> np.ndarray:
        """All rows in one array in memory (N, D)."""
        out = np.empty(self.shape, dtype)
        for place, block in self.blocks():
            out[place] = block
        return out

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        block = np.empty((len(numbers), self.shape[1]), np.float32)
        first = 0
        for length, sources in zip(self._lengths, self.parts, strict=True):
            here = np.flatnonzero((numbers >= first) & (numbers < first + length))
            if len(here):
                inside = _as_slice(numbers[here] - first)
                column = 0
                for source in sources:
                    array = _opened(source)
                    block[_as_slice(here), column : column + array.shape[1]] = array[inside]
                    column += array.shape[1]
            first += length
        return block

    def _changed(self, block: np.ndarray) -> np.ndarray:
        for change in self.changes:
            block = change(block)
        return block

    @cached_property
    def _lengths(self) -> list[int]:
        return [len(_opened(sources[0])) for sources in self.parts]

    @cached_property
    def _widths(self) -> list[int]:
        return [_opened(source).shape[1] for source in self.parts[0]]


def write_rows(path: Path, shape: tuple[int, int], blocks: Iterator[np.ndarray]) -> None:
    """Write blocks of rows, float32 (n, D), as one .npy file of this shape, each as it comes."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        written = 0
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
            written += block.size
    if written != math.prod(shape):
        raise ValueError(f"{path}: {written} numbers of {math.prod(shape)} came")


def _opened(source: Source) -> np.ndarray:
    """An array, or a new map of a file: pages that were read through it are given back with it."""
    if isinstance(source, Path):
        array: np.ndarray = np.load(source, mmap_mode="r")
        return array
    return remapped(source)


def _as_slice(numbers: np.ndarray) -> np.ndarray | slice:
    """Numbers that follow one another as a slice, which reads faster."""
    first, last = int(numbers[0]), int(numbers[-1])
    follow = last - first + 1 == len(numbers) and bool((np.diff(numbers) == 1).all())
    return slice(first, last + 1) if follow else numbers
