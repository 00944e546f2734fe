"""Geometric transforms as matrices, of one image or of each image of a batch."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fakeprint.augment.drawing import GEOMETRIC, Step

Matrix = list[list[Any]]  # rows of 3×3, from input to output pixel; entries are numbers, or one number per image


def matrix_of(height: int, width: int, moves: Iterable[tuple[str, tuple[float, ...]]]) -> np.ndarray:
    """Geometric steps of one image, in order, as one matrix: float64 (3, 3), from input to output pixel."""
    matrix = np.eye(3)
    for name, values in moves:
        matrix = np.array(_MATRICES[name](height, width, *values)) @ matrix
    return matrix


def matrices_of(height: int, width: int, steps: Iterable[Step], count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of a batch: the places of the images that move, int64 (M,), and their matrices, float64 (M, 3, 3).

    count: images of the batch. Other than geometric steps are ignored.
    """
    matrices, moves = np.tile(np.eye(3), (count, 1, 1)), np.zeros(count, bool)
    for step in steps:
        if step.name in GEOMETRIC:
            each = _stacked(_MATRICES[step.name](height, width, *step.values.T), len(step.places))
            matrices[step.places] = each @ matrices[step.places]
            moves[step.places] = True
    places = np.flatnonzero(moves)
    return places, matrices[places]


def _stacked(matrix: Matrix, count: int) -> np.ndarray:
    """A matrix whose entries are numbers or arrays (N,) as N matrices, float64 (N, 3, 3)."""
    entries = [np.broadcast_to(np.asarray(entry, float), (count,)) for row in matrix for entry in row]
    return np.stack(entries, axis=1).reshape(count, 3, 3)


def in_whole_pixels(matrix: np.ndarray, width: int) -> tuple[Any, Any, Any, Any]:
    """Whether a movement only mirrors and moves by whole pixels, and then: whether it mirrors, pixels right and down.

    matrix: (3, 3), or (N, 3, 3) for one answer per image. It mirrors first.
    """
    (a, b, x), (c, d, y) = ([matrix[..., row, column] for column in range(3)] for row in range(2))
    whole = (abs(a) == 1) & (d == 1) & (b == 0) & (c == 0) & (x % 1 == 0) & (y % 1 == 0)
    return whole, a < 0, x - (width - 1) * (a < 0), y


def _about_centre(height: int, width: int, linear: Sequence[Any]) -> Matrix:
    """A linear map about the centre of the image."""
    a, b, c, d = linear
    x, y = (width - 1) / 2, (height - 1) / 2
    return [[a, b, x - a * x - b * y], [c, d, y - c * x - d * y], [0, 0, 1]]


def _flip(height: int, width: int) -> Matrix:
    """Left becomes right."""
    return [[-1, 0, width - 1], [0, 1, 0], [0, 0, 1.0]]


def _rotation(height: int, width: int, degrees: Any) -> Matrix:
    """Counter-clockwise, about the centre."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return _about_centre(height, width, (cosine, sine, -sine, cosine))


def _shift(height: int, width: int, right: Any, down: Any) -> Matrix:
    """By fractions of the sides, rounded to whole pixels."""
    return [[1, 0, np.rint(right * width)], [0, 1, np.rint(down * height)], [0, 0, 1.0]]


def _zoom(height: int, width: int, factor: Any) -> Matrix:
    """Larger by `factor`, about the centre."""
    return _about_centre(height, width, (factor, 0, 0, factor))


def _crop(height: int, width: int, fraction: Any, across: Any, down: Any) -> Matrix:
    """A window of `fraction` of the sides, `across` and `down` in [0, 1] of the way, scaled back to the whole."""
    left, top = (1 - fraction) * across * width, (1 - fraction) * down * height
    scale = 1 / fraction
    x, y = (0.5 - left) * scale - 0.5, (0.5 - top) * scale - 0.5  # pixel centres are at halves
    return [[scale, 0, x], [0, scale, y], [0, 0, 1]]


_MATRICES: dict[str, Callable[..., Matrix]] = {
    "flip": _flip,
    "rotation": _rotation,
    "shift": _shift,
    "zoom": _zoom,
    "crop": _crop,
}
