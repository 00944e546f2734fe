"""Residual: what neighbouring pixels of a generator's output do together, once the scene is taken away."""

import functools
from collections.abc import Iterator

import numpy as np

LENGTH = 3  # neighbours in a row whose differences are counted together


def residual(image: np.ndarray, truncation: int, orders: list[int], joint: bool) -> np.ndarray:
    """Co-occurrences of truncated pixel differences.

    Differences of 1st, 2nd and 3rd order along rows and along columns are clipped at ±truncation, and what LENGTH
    neighbours in a row (along the difference and across it) show is counted, a channel (SPAM: Pevný, Bas and Fridrich
    2010); `joint` also counts what red, green and blue show at one pixel. Patterns that differ in sign or direction only
    are counted as one (the symmetries of SRM: Fridrich and Kodovský 2012), which makes the table three times smaller and
    blind to mirroring. Rows and columns stay apart: upsampling need not treat them alike.

    image: uint8 (H, W, 3) RGB. Returns float32 (D,); each table of co-occurrences sums to one.
    """
    levels = 2 * truncation + 1
    along = _classes(levels, LENGTH, reverse=True)
    colours = _classes(levels, 3, reverse=False)
    tables = []
    for order in orders:
        for planes in _turned(image):
            differences = _truncated(planes, order, truncation)
            tables += [_merged(_patterns(differences, levels, axis), along) for axis in (2, 1)]
            if joint:
                tables.append(_merged(_colour_patterns(differences, levels), colours))
    return np.concatenate(tables).astype(np.float32)


def _turned(image: np.ndarray) -> Iterator[np.ndarray]:
    """The planes int16 (3, H, W), and transposed: differences along the last axis then run along columns."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.int16)
    yield planes
    yield np.ascontiguousarray(planes.transpose(0, 2, 1))


def _truncated(planes: np.ndarray, order: int, truncation: int) -> np.ndarray:
    """Differences along the last axis, clipped and counted from 0: int16 (3, H, W − order)."""
    return np.clip(np.diff(planes, n=order, axis=2), -truncation, truncation) + np.int16(truncation)


def _patterns(differences: np.ndarray, levels: int, axis: int) -> np.ndarray:
    """How often each pattern of LENGTH neighbours along the axis occurs, a channel: (3, levels ** LENGTH)."""
    places = differences.shape[axis] - LENGTH + 1
    pattern = differences.take(range(places), axis=axis)
    for step in range(1, LENGTH):
        pattern = pattern * np.int16(levels) + differences.take(range(step, step + places), axis=axis)
    kinds = levels**LENGTH
    return np.stack([np.bincount(plane.ravel(), minlength=kinds) for plane in pattern])


def _colour_patterns(differences: np.ndarray, levels: int) -> np.ndarray:
    """How often each pattern of the three channels at one pixel occurs: (1, levels³)."""
    red, green, blue = differences
    pattern = (red * np.int16(levels) + green) * np.int16(levels) + blue
    return np.bincount(pattern.ravel(), minlength=levels**3)[None]


def _merged(counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Counts of patterns of one class added, each row made to sum to one; flat."""
    merged = np.stack([np.bincount(classes, weights=row) for row in counts])
    return (merged / merged.sum(axis=1, keepdims=True)).ravel()


@functools.lru_cache
def _classes(levels: int, length: int, reverse: bool) -> np.ndarray:
    """The class (0, 1, …) of each pattern: those that differ in sign, or (with `reverse`) in direction, share one."""
    pattern = np.indices((levels,) * length).reshape(length, -1)
    alike = [pattern, levels - 1 - pattern]
    if reverse:
        alike += [each[::-1] for each in alike]
    weights = levels ** np.arange(length)[::-1]
    first = np.min([weights @ each for each in alike], axis=0)
    return np.unique(first, return_inverse=True)[1]
