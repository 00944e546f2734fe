"""k nearest neighbours: exact search by faiss, k and the distance chosen by validation accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd

from fakeprint.blocks import Rows, write_rows
from fakeprint.errors import InputError
from fakeprint.files import write_csv, write_figure, written
from fakeprint.models.classifiers.scaling import fitted_scaler
from fakeprint.models.description import RESTORE

BLOCK = 2048  # rows per search, which stay in the processor's cache for all queries
METRICS = {"l1": faiss.METRIC_L1, "l2": faiss.METRIC_L2}


@dataclass(frozen=True)
class Neighbours:
    """The train rows, and the chosen k and metric.

    rows: float32 (N, D), scaled, in a file. labels: int64 (N,). mean, scale: float64 (D,), to standardise
    queries. sweep: metric, k and validation accuracy of every choice.
    """

    rows: Rows
    labels: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    metric: str
    k: int
    sweep: pd.DataFrame = field(compare=False)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Vote shares, float64 (N, C): the share of the k neighbours that each class has.

        A tie of votes gives equal shares, so that argmax returns the lowest class index. Of equally distant neighbours
        the earlier train row counts.
        """
        _, nearest = search(self.rows, _scaled(x, self.mean, self.scale), self.k, self.metric)
        return _shares(self.labels[nearest], int(self.labels.max()) + 1)


def search(rows: np.ndarray | Rows, queries: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Exact k nearest rows of each query, the rows read once, block by block.

    rows: float32 (N, D); queries: float32 (M, D); metric: "l1" or "l2". Returns distances float32 (M, k), ascending
    (squared for "l2"), and row numbers int64 (M, k); equal distances in order of row number.
    """
    # faiss expands |x − y|² into a matrix product for batches: faster, but it loses the distances of near-identical
    # rows to cancellation, and results would depend on which queries share a batch.
    threshold = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 2**31 - 1
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    distances: np.ndarray = np.empty((len(queries), 0), np.float32)
    nearest: np.ndarray = np.empty((len(queries), 0), np.int64)
    try:
        for place, block in Rows.of(rows).blocks(BLOCK):
            near, number = faiss.knn(queries, block, min(k, len(block)), metric=METRICS[metric])
            distances = np.concatenate([distances, near], axis=1)
            nearest = np.concatenate([nearest, number + place.start], axis=1)
            order = np.lexsort((nearest, distances), axis=1)[:, :k]
            distances, nearest = (np.take_along_axis(each, order, axis=1) for each in (distances, nearest))
    finally:
        faiss.cvar.distance_compute_blas_threshold = threshold
    return distances, nearest


def _scaled(x: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return ((x - mean) / scale).astype(np.float32)


def fit_neighbours(
    x: Rows,
    y: np.ndarray,
    x_validation: Rows,
    y_validation: np.ndarray,
    k: Sequence[int],
    metrics: Sequence[str],
    standard: bool,
) -> Neighbours:
    """Choose k and metric by validation accuracy; at a tie the first metric, then the least k.

    The train rows stay on disk and are scaled as they are read: only one block of them and the validation rows are in
    memory. x, x_validation: float32 (N, D); y, y_validation: int64 class indices. Raises InputError if k is larger than
    the number of train rows, or there is no labelled validation image.
    """
    if max(k) > len(x):
        raise InputError(f"classifiers: k = {max(k)} is more than the {len(x)} train images; lower k")
    if not len(x_validation):
        raise InputError("k-NN chooses k by validation accuracy, but there are no labelled validation images")
    mean, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    if standard:
        scaler = fitted_scaler(x)
        mean, scale = scaler.mean_, scaler.scale_
    rows = x.then(lambda block: _scaled(block, mean, scale))
    queries = _scaled(x_validation.whole(), mean, scale)
    sweep = _sweep(rows, y, queries, y_validation, sorted(set(k)), metrics)
    best = _best(sweep)
    return Neighbours(rows, y, mean, scale, str(best["metric"]), int(best["k"]), sweep)


def _sweep(
    rows: Rows, y: np.ndarray, queries: np.ndarray, truth: np.ndarray, ks: Sequence[int], metrics: Sequence[str]
) -> pd.DataFrame:
    classes = int(y.max()) + 1
    accuracies = []
    for metric in dict.fromkeys(metrics):
        votes = y[search(rows, queries, ks[-1], metric)[1]]
        for k in ks:
            accuracy = float(np.mean(_shares(votes[:, :k], classes).argmax(axis=1) == truth))
            accuracies.append({"metric": metric, "k": k, "accuracy": accuracy})
    return pd.DataFrame(accuracies)


def _best(sweep: pd.DataFrame) -> pd.Series:
    return sweep.iloc[int(sweep["accuracy"].to_numpy().argmax())]  # the first of equals


def _shares(votes: np.ndarray, classes: int) -> np.ndarray:
    counts = np.stack([np.sum(votes == index, axis=1) for index in range(classes)], axis=1)
    return counts / votes.shape[1]


def save_neighbours(folder: Path, fitted: Neighbours) -> None:
    """Write neighbours.npy (rows), labels.npy, scaling.npy (mean and scale) and k_sweep.csv."""
    with written(folder / "neighbours.npy") as partial:
        write_rows(partial, fitted.rows.shape, (block for _, block in fitted.rows.blocks()))
    for name, array in (("labels", fitted.labels), ("scaling", np.stack([fitted.mean, fitted.scale]))):
        with written(folder / f"{name}.npy") as partial:
            np.save(partial, array)
    write_csv(folder / "k_sweep.csv", fitted.sweep)


def load_neighbours(folder: Path, metric: str, k: int, classes: int) -> Neighbours:
    """Read what `save_neighbours` wrote. Raises InputError for a missing or damaged file, or other classes."""
    try:
        stored = np.load(folder / "neighbours.npy", mmap_mode="r")  # whole, and no object array
        labels, scaling = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("labels", "scaling"))
        sweep = pd.read_csv(folder / "k_sweep.csv")
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder} does not hold a complete k-NN classifier ({reason}): {RESTORE}") from None
    rows = Rows(((folder / "neighbours.npy",),))
    if not _fit_together(stored, labels, scaling, classes) or not all(
        np.isfinite(block).all() for _, block in rows.blocks()
    ):
        raise InputError(f"the arrays in {folder} do not fit its model.json, or do not fit together: {RESTORE}")
    if not (isinstance(metric, str) and metric in METRICS and type(k) is int and 1 <= k <= len(stored)):
        raise InputError(
            f"{folder / 'model.json'}: chosen.metric must be l1 or l2, and chosen.k 1 to {len(stored)}: {RESTORE}"
        )
    return Neighbours(rows, labels, scaling[0], scaling[1], metric, k, sweep)


def _fit_together(rows: Any, labels: Any, scaling: Any, classes: int) -> bool:
    """Whether these are arrays of rows (N, D), labels of all classes (N,), and mean and scale (2, D)."""
    arrays = (rows, labels, scaling)
    if not all(isinstance(each, np.ndarray) for each in arrays):  # .npz files are none
        return False
    if [each.dtype for each in arrays] != [np.float32, np.int64, np.float64] or rows.ndim != 2:
        return False
    if labels.shape != (len(rows),) or scaling.shape != (2, rows.shape[1]):
        return False
    return bool(
        np.array_equal(np.unique(labels), np.arange(classes)) and np.isfinite(scaling).all() and (scaling[1] > 0).all()
    )


def plot_sweep(sweep: pd.DataFrame, path: Path, title: str) -> None:
    """Plot validation accuracy over k as PNG, one curve per metric."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for metric, curve in sweep.groupby("metric", sort=False):
        axes.plot(curve["k"], 100 * curve["accuracy"], marker="o", label=str(metric).upper())
    best = _best(sweep)
    chosen = f"chosen: k = {best['k']}, {best['metric'].upper()}, {100 * best['accuracy']:.2f} %"
    axes.plot(best["k"], 100 * best["accuracy"], "o", markersize=13, fillstyle="none", color="black", label=chosen)
    axes.set(xlabel="k (neighbours that vote)", ylabel="validation accuracy (%)", title=title)
    axes.set_xticks(sorted(sweep["k"].unique()))
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(path, figure, dpi=110, tight=False)
