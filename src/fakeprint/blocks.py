"""Arrays that are read block by block, so that only one block is in memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

BLOCK_BYTES = 2**26  # of float32: enough for fast matrix products; fixed, so that results do not depend on the machine
BLOCK_ROWS = 2**14  # at most

Source = np.ndarray | Path
Change = Callable[[np.ndarray], np.ndarray]


def remapped(array: np.ndarray) -> np.ndarray:
    """Open a memory map again, so that the memory of pages read through it is freed with it.

    Other arrays, views of a map (which share its offset) and maps in Fortran order are returned as they are.
    """
    if not isinstance(array, np.memmap) or not isinstance(array.filename, str | Path) or array.base is None:
        return array
    if isinstance(array.base, np.memmap) or not array.flags.c_contiguous:
        return array
    return np.memmap(array.filename, array.dtype, "r", array.offset, array.shape)


@dataclass(frozen=True, eq=False)
class Rows:
    """Feature rows, float32 (N, D), in files: parts one after the other, each of sets concatenated along columns.

    parts: each a sequence of .npy files or arrays (n, d) with equal numbers of rows; files may be float16. changes:
    functions applied to each block that is read, in order; each changes rows independently. chosen: row numbers, in
    order; None = all rows.
    """

    parts: tuple[tuple[Source, ...], ...]
    changes: tuple[Change, ...] = ()
    chosen: np.ndarray | None = None

    @classmethod
    def of(cls, rows: "np.ndarray | Rows") -> "Rows":
        """Wrap an array (N, D); rows are returned as they are."""
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
        """These rows followed by those of `other`. Neither may have `chosen` rows or `changes` yet."""
        return Rows(self.parts + other.parts)

    def at(self, numbers: np.ndarray) -> Self:
        """The rows with these numbers, int (M,), in this order."""
        return replace(self, chosen=numbers if self.chosen is None else self.chosen[numbers])

    def then(self, change: Change) -> Self:
        """Apply `change` to each block: it takes and returns float32 (n, D), and may write into its input."""
        return replace(self, changes=(*self.changes, change))

    def blocks(self, size: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """All rows in order, in blocks of `size` (default `block_rows`): their slice, and float32 (n, D) to read.

        Without `changes`, a block may be a view of its source, since a copy takes as long as a pass over it.
        """
        size = size or self.block_rows
        for start in range(0, len(self), size):
            place = slice(start, min(start + size, len(self)))
            numbers = np.arange(place.start, place.stop) if self.chosen is None else self.chosen[place]
            yield place, self._changed(self._read(numbers))

    def whole(self, dtype: type[np.floating] = np.float32) -> np.ndarray:
        """All rows in memory as one array (N, D)."""
        out = np.empty(self.shape, dtype)
        for place, block in self.blocks():
            out[place] = block
        return out

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        if not self.changes and len(self.parts) == len(self.parts[0]) == 1:
            array, inside = _opened(self.parts[0][0]), _as_slice(numbers)
            if isinstance(inside, slice) and array.dtype == np.float32 and array.flags.c_contiguous:
                return array[inside]
        block = np.empty((len(numbers), self.shape[1]), np.float32)
        first = 0
        for length, sources in zip(self._lengths, self.parts, strict=True):
            places = np.flatnonzero((numbers >= first) & (numbers < first + length))
            if len(places):
                inside = _as_slice(numbers[places] - first)
                column = 0
                for source in sources:
                    array = _opened(source)
                    block[_as_slice(places), column : column + array.shape[1]] = array[inside]
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


def write_rows(path: Path, shape: tuple[int, int], blocks: Iterator[np.ndarray], stored: str = "<f4") -> None:
    """Write blocks of rows, float32 (n, D), one after the other into one .npy file of this shape.

    stored: the type of the numbers in the file, "<f4" or "<f2" (half the size; `Rows` reads either).
    """
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": stored, "fortran_order": False, "shape": shape})
        written = 0
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=stored).tobytes())
            written += block.size
    if written != math.prod(shape):
        raise ValueError(f"{path}: {written} of {math.prod(shape)} numbers were written")


def _opened(source: Source) -> np.ndarray:
    """An array, or a new memory map of a file, which frees the pages read through it when it is deleted."""
    if isinstance(source, Path):
        array: np.ndarray = np.load(source, mmap_mode="r")
        return array
    return remapped(source)


def _as_slice(numbers: np.ndarray) -> np.ndarray | slice:
    """Consecutive numbers as a slice, which is faster to read."""
    first, last = int(numbers[0]), int(numbers[-1])
    follow = last - first + 1 == len(numbers) and bool((np.diff(numbers) == 1).all())
    return slice(first, last + 1) if follow else numbers
