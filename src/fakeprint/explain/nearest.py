"""The nearest train images of each image, searched while the train images pass by in blocks."""

from collections.abc import Iterator

import numpy as np

from fakeprint.models.classifiers.neighbours import search


def nearest(blocks: Iterator[np.ndarray], queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of each query by Euclidean distance, of rows that are read once and not kept.

    blocks: float32 (n, D), the rows in order. queries: float32 (M, D). Returns distances float32 (M, k), ascending,
    and row numbers int64 (M, k); equal distances in order of row number. Fewer than k columns if there are fewer rows.
    """
    squared: np.ndarray = np.empty((len(queries), 0), np.float32)
    rows: np.ndarray = np.empty((len(queries), 0), np.int64)
    first = 0
    for block in blocks:
        near, number = search(block, queries, k, "l2")
        squared = np.concatenate([squared, near], axis=1)
        rows = np.concatenate([rows, number + first], axis=1)
        order = np.lexsort((rows, squared), axis=1)[:, :k]
        squared, rows = (np.take_along_axis(each, order, axis=1) for each in (squared, rows))
        first += len(block)
    return np.sqrt(squared), rows
