"""Every file of a source decoded once, in parallel: container facts, pixel hash, perceptual hash, traces, channel sums.

This module is what worker processes import, so it imports little.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from joblib import delayed
from PIL import Image

from fakeprint.data.containers import Container
from fakeprint.data.containers.members import Batch
from fakeprint.data.decode import Facts, Unreadable, decode, longest_file
from fakeprint.data.traces import traces
from fakeprint.parallel import in_order
from fakeprint.progress import track

THUMBNAIL = 16  # side in pixels of the pictures by which near duplicates are compared
TRACED = 5_000  # images, about, whose traces are measured; the audit needs no more, and measuring takes time
BATCH = 64
AT_ONCE = 4096  # rows that are moved at a time

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Scan:
    """The results for one image.

    pixels: 16-byte digest of size and RGB values. phash: 64-bit perceptual hash, as 8 bytes.
    thumbnail: uint8 (16, 16, 3) RGB. traces: float32, as `fakeprint.data.traces` measures them; None if not measured.
    sums: int64 (2, 3): sum and sum of squares of each channel's values.
    """

    facts: Facts
    pixels: bytes
    phash: bytes
    thumbnail: np.ndarray
    traces: np.ndarray | None
    sums: np.ndarray


@dataclass(frozen=True, eq=False)
class Scans:
    """The results for N images. Arrays take half the memory of so many objects, which counts for a million images.

    pixels: uint8 (N, 16), digests. phashes: uint8 (N, 8). thumbnails: uint8 (N, 16, 16, 3). sums: int64 (N, 2, 3).
    facts: of each image. traces: by row, float32; only rows whose traces were measured. All as in `Scan`.
    """

    pixels: np.ndarray
    phashes: np.ndarray
    thumbnails: np.ndarray
    sums: np.ndarray
    facts: list[Facts]
    traces: dict[int, np.ndarray]

    def __len__(self) -> int:
        return len(self.facts)

    def kept(self, rows: np.ndarray) -> "Scans":
        """The results of some rows, int64 (n,), ascending. The arrays are overwritten, so that no copies are made."""
        if len(rows) == len(self):
            return self
        arrays = (self.pixels, self.phashes, self.thumbnails, self.sums)
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            for array in arrays:  # rows move only towards the front, over others that are no longer needed
                array[start : start + len(some)] = array[some]
        return Scans(
            pixels=self.pixels[: len(rows)],
            phashes=self.phashes[: len(rows)],
            thumbnails=self.thumbnails[: len(rows)],
            sums=self.sums[: len(rows)],
            facts=[self.facts[row] for row in rows],
            traces={new: self.traces[row] for new, row in enumerate(rows.tolist()) if row in self.traces},
        )


def scan(container: Container, names: list[str], max_pixels: int, workers: int | None) -> tuple[Scans, dict[int, str]]:
    """Decode files, and return the results of those that can be decoded, in the order of `names`, and why others not.

    The second value holds the reason by the file's place in `names`.
    """
    count = len(names)
    traced = min(1.0, TRACED / max(1, count))
    use = partial(scan_image, max_pixels=max_pixels, traced=traced)
    facts: list[Facts | None] = [None] * count
    found = Scans(
        pixels=np.empty((count, 16), np.uint8),
        phashes=np.empty((count, 8), np.uint8),
        thumbnails=np.empty((count, THUMBNAIL, THUMBNAIL, 3), np.uint8),
        sums=np.empty((count, 2, 3), np.int64),
        facts=[],
        traces={},
    )
    reasons = dict.fromkeys(range(count), "missing")
    shared: dict[Hashable, Any] = {}
    for row, result in stream(container, names, max_pixels, use, workers, "validate"):
        found.traces.pop(row, None)  # a file that an archive has twice comes twice
        if isinstance(result, str):
            reasons[row] = result
            continue
        reasons.pop(row, None)
        found.pixels[row] = np.frombuffer(result.pixels, np.uint8)
        found.phashes[row] = np.frombuffer(result.phash, np.uint8)
        found.thumbnails[row], found.sums[row] = result.thumbnail, result.sums
        facts[row] = _sharing(result.facts, shared)
        if result.traces is not None:
            found.traces[row] = result.traces
    found.facts.extend(facts)  # type: ignore[arg-type]
    usable = np.array([row for row in range(count) if row not in reasons], dtype=np.int64)
    return found.kept(usable), reasons


def _sharing(facts: Facts, shared: dict[Hashable, Any]) -> Facts:
    """The facts with values that are held once for all images: what comes from other processes holds its own."""
    names = ("format", "mode", "chroma", "metadata", "quantisation")
    values = {name: getattr(facts, name) for name in names}
    return replace(facts, **{name: shared.setdefault(value, value) for name, value in values.items()})


def scan_image(content: bytes, row: int, max_pixels: int, traced: float = 1.0) -> Scan:
    """Decode one file; its row makes no difference. Raises Unreadable.

    traced: share of images whose traces are measured, 0–1. Which ones is drawn by the pixels' digest, so that it
    depends on no other image.
    """
    decoded = decode(content, max_pixels)
    picture = Image.fromarray(decoded.rgb)
    grey = picture.convert("L")
    counts = np.array(picture.histogram(), dtype=np.int64).reshape(3, 256)
    values = np.arange(256, dtype=np.int64)
    size = np.array(decoded.rgb.shape, dtype=np.int64).tobytes()
    digest = hashlib.blake2b(decoded.rgb.tobytes(), digest_size=16, key=size).digest()
    return Scan(
        facts=decoded.facts,
        pixels=digest,
        phash=perceptual_hash(grey),
        thumbnail=np.asarray(picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
        traces=traces(np.asarray(grey)) if int.from_bytes(digest[:4]) < traced * 2**32 else None,
        sums=np.stack([counts @ values, counts @ values**2]),
    )


def thumbnail(content: bytes, row: int, max_pixels: int, side: int) -> np.ndarray:
    """Decode one file and shrink it to at most `side` pixels per side, uint8 (H, W, 3). Raises Unreadable."""
    picture = Image.fromarray(decode(content, max_pixels).rgb)
    picture.thumbnail((side, side))
    return np.asarray(picture)


def perceptual_hash(picture: Image.Image) -> bytes:
    """The 64 bits of `imagehash.phash` (low frequencies of a 32 × 32 DCT above their median), as 8 bytes.

    The DCT is rounded, so that flat pictures hash to one value, not to the signs of rounding errors.
    """
    grey = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
    low = np.round(_DCT @ grey @ _DCT.T, 6)
    return np.packbits(low > np.median(low)).tobytes()


def each_file(
    container: Container,
    names: list[str],
    max_pixels: int,
    use: Callable[[bytes, int], Result],
    workers: int | None,
    what: str,
) -> list[Result | str]:
    """`use(content, row)` of each file, in the order of `names`, on `workers` processes (None = all cores).

    `use` is picklable; where it raises Unreadable, or the file cannot be read, the result is the reason.
    """
    results: list[Result | str] = ["missing"] * len(names)
    for row, result in stream(container, names, max_pixels, use, workers, what):
        results[row] = result
    return results


def stream(
    container: Container,
    names: list[str],
    max_pixels: int,
    use: Callable[[bytes, int], Result],
    workers: int | None,
    what: str,
    batch_size: int = BATCH,
) -> Iterator[tuple[int, Result | str]]:
    """Row and result of each file as `each_file` has them, a batch at a time and in any order of rows.

    batch_size: files of a batch, at most; fewer where results are large.

    From a compressed .tar that is not listed, a missing file yields no row, and a file that is there twice yields its
    row twice: the last one counts.
    """
    batches = container.batches(names, min(BATCH, batch_size), longest_file(max_pixels))
    return track(_spread(batches, use, workers), what, total=len(names))


def _spread(
    batches: Iterator[Batch], use: Callable[[bytes, int], Result], workers: int | None
) -> Iterator[tuple[int, Result | str]]:
    # A batch used here, as its turn to be sent comes, leaves its memory before the next one is made.
    tasks = (
        delayed(_given)(_use_batch(batch, use)) if batch.in_memory else delayed(_use_batch)(batch, use)
        for batch in batches
    )
    for done in in_order(tasks, workers, batch_size=1, pre_dispatch="3*n_jobs"):
        yield from done


def _given(done: list[tuple[int, Result | str]]) -> list[tuple[int, Result | str]]:
    return done


def _use_batch(batch: Batch, use: Callable[[bytes, int], Result]) -> list[tuple[int, Result | str]]:
    done: list[tuple[int, Result | str]] = []
    for row, content in zip(batch.rows, batch.read(), strict=True):
        try:
            if isinstance(content, Unreadable):
                raise content
            done.append((row, use(content, row)))
        except Unreadable as error:
            done.append((row, error.reason))
    return done


def _dct(rows: int, size: int) -> np.ndarray:
    """The first rows of the unnormalised DCT-II of this size, float64 (rows, size)."""
    return np.cos(np.pi / size * np.outer(np.arange(rows), np.arange(size) + 0.5))


_DCT = _dct(8, 32)
