"""Residual: co-occurrences of differences between neighbouring pixels, which contain little of the scene."""

import functools

import cv2
import numpy as np

LENGTH = 3  # neighbouring differences per pattern
SQUARE_KINDS = 3**4  # patterns of four differences, of −1, 0 or 1 steps each
PAIRS = ((0, 1), (2, 1), (0, 2))  # red and green, blue and green, red and blue


def residual(
    image: np.ndarray,
    truncation: int,
    orders: list[int],
    steps: list[int],
    joint: bool,
    opponent: bool,
    srm: bool,
    squares: bool = False,
) -> np.ndarray:
    """Co-occurrences of truncated pixel differences.

    Differences of 1st, 2nd and 3rd order along rows and along columns are divided by a step, rounded and clipped at
    ±truncation, and patterns of LENGTH neighbouring ones (along the difference and across it) are counted per channel
    (SPAM: Pevný, Bas and Fridrich 2010). Patterns that differ only in sign or direction are counted as one (the
    symmetries of SRM: Fridrich and Kodovský 2012), which makes the tables three times smaller and, but for `squares`,
    invariant to mirroring. Rows and columns have separate tables, since upsampling may treat them differently. Four
    options add to this:

    opponent: the planes red − green and blue − green are two more channels.
    joint: patterns of red, green and blue at one pixel, at the finest step.
    srm: two-dimensional residuals of SRM: two 3×3 kernels, and the minimum and maximum of four differences.
    squares: patterns of four differences of 1st and 2nd order, whatever `orders` says, clipped at ±1: those of each 2×2
    square, per channel and step, and, at the largest step, of two colours at two neighbours. They are not merged: with
    the mirror images merged, an SVM on UniBuc was less accurate (docs/results/classifiers.md).

    image: uint8 (H, W, 3) RGB. Returns float32 (D,); each table of co-occurrences sums to one.
    """
    levels = 2 * truncation + 1
    along = _classes(levels, LENGTH, reverse=True)
    colours = _classes(levels, LENGTH, reverse=False)
    planes = _planes(image, opponent)
    tables = []
    for order in orders:
        for turned in (planes, np.ascontiguousarray(planes.transpose(0, 2, 1))):
            differences = np.diff(turned, n=order, axis=2)
            for step in steps:
                truncated = _truncated(differences, step, truncation)
                tables += [_merged(_patterns(truncated, levels, axis), along) for axis in (2, 1)]
                if joint and step == min(steps):
                    tables.append(_merged(_colour_patterns(truncated, levels), colours))
    if srm:
        tables += _srm(planes[:3], truncation, along, colours)
    if squares:
        tables += _squares(planes, steps)
    return np.concatenate(tables).astype(np.float32)


def _srm(planes: np.ndarray, truncation: int, along: np.ndarray, colours: np.ndarray) -> list[np.ndarray]:
    levels = 2 * truncation + 1
    undirected = _classes(levels, LENGTH, reverse=True, sign=False)
    tables = []
    for kernel in (_square(planes), _laplacian(planes)):
        truncated = _truncated(kernel, 2, truncation)
        tables.append(_merged(_patterns_both_ways(truncated, levels), along))
        tables.append(_merged(_colour_patterns(truncated, levels), colours))
    for four in (_first_differences(planes), _second_differences(planes)):
        # The maximum of an image is the minimum of its negative, so both are counted together.
        ends = [_truncated(end, 1, truncation) for end in (four.min(axis=0), -four.max(axis=0))]
        tables.append(_merged(_patterns_both_ways(ends[0], levels) + _patterns_both_ways(ends[1], levels), undirected))
    return tables


def _squares(planes: np.ndarray, steps: list[int]) -> list[np.ndarray]:
    tables = []
    for order, axis in ((1, 2), (1, 1), (2, 2), (2, 1)):
        differences = np.diff(planes, n=order, axis=axis)
        for step in steps:
            truncated = _truncated(differences, step, 1)
            tables.append(_fours(*_square_of(truncated)))
            if step == max(steps):
                first, second = truncated[[a for a, _ in PAIRS]], truncated[[b for _, b in PAIRS]]
                tables.append(_fours(first[:, :, :-1], second[:, :, :-1], first[:, :, 1:], second[:, :, 1:]))
                tables.append(_fours(first[:, :-1], second[:, :-1], first[:, 1:], second[:, 1:]))
    return tables


def _square_of(truncated: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each place, and its neighbours to the right, below, and below to the right."""
    return truncated[:, :-1, :-1], truncated[:, :-1, 1:], truncated[:, 1:, :-1], truncated[:, 1:, 1:]


def _fours(first: np.ndarray, second: np.ndarray, third: np.ndarray, fourth: np.ndarray) -> np.ndarray:
    """Frequency of each pattern of four values of 0, 1 or 2 at the same place, uint8 (K, H, W) each; (K · 81,)."""
    counts = _counts(((first * np.uint8(3) + second) * np.uint8(3) + third) * np.uint8(3) + fourth, SQUARE_KINDS)
    return (counts / np.float64(first[0].size)).ravel()


def _planes(image: np.ndarray, opponent: bool) -> np.ndarray:
    """Red, green, blue and, with `opponent`, red − green and blue − green: int16 (3 or 5, H, W)."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.int16)
    return np.concatenate([planes, planes[[0, 2]] - planes[1]]) if opponent else planes


def _truncated(differences: np.ndarray, step: int, truncation: int) -> np.ndarray:
    """Differences in steps, rounded, clipped at ±truncation and counted from 0: uint8 if patterns fit, else uint16."""
    in_steps = differences if step == 1 else np.rint(differences / np.float32(step)).astype(np.int16)
    counted = np.clip(in_steps, -truncation, truncation) + np.int16(truncation)
    return counted.astype(np.uint8 if (2 * truncation + 1) ** LENGTH <= 256 else np.uint16)


def _square(planes: np.ndarray) -> np.ndarray:
    """SRM's 3×3 square kernel, 2nd differences of 2nd differences: (3, H − 2, W − 2)."""
    return np.diff(np.diff(planes, n=2, axis=2), n=2, axis=1)


def _laplacian(planes: np.ndarray) -> np.ndarray:
    """The four neighbours minus four times the pixel: (3, H − 2, W − 2)."""
    return _first_differences(planes).sum(axis=0, dtype=np.int16)


def _first_differences(planes: np.ndarray) -> np.ndarray:
    """Each of the four neighbours minus the pixel: (4, 3, H − 2, W − 2)."""
    neighbours = [planes[:, :-2, 1:-1], planes[:, 2:, 1:-1], planes[:, 1:-1, :-2], planes[:, 1:-1, 2:]]
    return np.stack(neighbours) - planes[:, 1:-1, 1:-1]


def _second_differences(planes: np.ndarray) -> np.ndarray:
    """Opposite neighbours minus twice the pixel, down, across and along both diagonals: (4, 3, H − 2, W − 2)."""
    pairs = [
        planes[:, :-2, 1:-1] + planes[:, 2:, 1:-1],
        planes[:, 1:-1, :-2] + planes[:, 1:-1, 2:],
        planes[:, :-2, :-2] + planes[:, 2:, 2:],
        planes[:, :-2, 2:] + planes[:, 2:, :-2],
    ]
    return np.stack(pairs) - 2 * planes[:, 1:-1, 1:-1]


def _patterns(truncated: np.ndarray, levels: int, axis: int) -> np.ndarray:
    """Counts of each pattern of LENGTH neighbours along the axis, per channel: (channels, levels ** LENGTH)."""
    if axis == 2:
        first, second, third = truncated[:, :, :-2], truncated[:, :, 1:-1], truncated[:, :, 2:]
    else:
        first, second, third = truncated[:, :-2], truncated[:, 1:-1], truncated[:, 2:]
    base = truncated.dtype.type(levels)
    return _counts((first * base + second) * base + third, levels**LENGTH)


def _patterns_both_ways(truncated: np.ndarray, levels: int) -> np.ndarray:
    """Patterns along rows and along columns, counted together."""
    return _patterns(truncated, levels, axis=2) + _patterns(truncated, levels, axis=1)


def _colour_patterns(truncated: np.ndarray, levels: int) -> np.ndarray:
    """Counts of each pattern of the three channels at one pixel: (1, levels³)."""
    red, green, blue = truncated[:3]
    base = truncated.dtype.type(levels)
    return _counts(((red * base + green) * base + blue)[None], levels**LENGTH)


def _counts(patterns: np.ndarray, kinds: int) -> np.ndarray:
    """Counts of each number below `kinds` in each plane; OpenCV is faster than NumPy."""
    return np.stack([cv2.calcHist([plane], [0], None, [kinds], [0, kinds]).ravel() for plane in patterns])


def _merged(counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Counts summed over the patterns of each class, each row normalised to sum to one; flat."""
    merged = np.stack([np.bincount(classes, weights=row) for row in counts])
    return (merged / merged.sum(axis=1, keepdims=True)).ravel()


@functools.lru_cache
def _classes(levels: int, length: int, reverse: bool, sign: bool = True) -> np.ndarray:
    """The class (0, 1, …) of each pattern: those that differ in `sign`, or in direction (`reverse`), share one."""
    pattern = np.indices((levels,) * length).reshape(length, -1)
    equivalent = [pattern]
    if sign:
        equivalent.append(levels - 1 - pattern)
    if reverse:
        equivalent += [each[::-1] for each in equivalent]
    weights = levels ** np.arange(length)[::-1]
    first = np.min([weights @ each for each in equivalent], axis=0)
    return np.unique(first, return_inverse=True)[1]
