"""k nearest neighbours: exact search by faiss, k and the distance chosen by validation accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from fakeprint.errors import InputError
from fakeprint.files import written

ARRAYS = ("neighbours", "labels", "scaling")  # the .npy files of a fitted k-NN
BLOCK = 2048  # rows searched at once: they stay in the cache for all queries
METRICS = {"l1": faiss.METRIC_L1, "l2": faiss.METRIC_L2}


@dataclass(frozen=True)
class Neighbours:
    """The train rows and what was chosen.

    rows: float32 (N, D), scaled. labels: int64 (N,). mean, scale: float64 (D,), taken from and divided into a query.
    sweep: metric, k, accuracy (on validation) of every choice tried.
    """

    rows: np.ndarray
    labels: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    metric: str
    k: int
    sweep: pd.DataFrame = field(compare=False)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Vote shares, float64 (N, C): the share of the k neighbours that each class has.

        A tie of votes leaves equal shares; the class of the lowest index is then the answer. Among equally distant
        neighbours the earlier train row counts.
        """
        queries = ((x - self.mean) / self.scale).astype(np.float32)
        _, nearest = search(self.rows, queries, self.k, self.metric)
        return _shares(self.labels[nearest], int(self.labels.max()) + 1)


def search(rows: np.ndarray, queries: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Exact k nearest rows of each query.

    rows: float32 (N, D); queries: float32 (M, D); metric: "l1" or "l2". Returns distances float32 (M, k), ascending
    (squared for "l2"), and row numbers int64 (M, k); equal distances in order of row number.
    """
    # faiss expands |x − y|² into a matrix product for batches: faster, but it loses the distances of near-identical
    # rows to cancellation, and answers then depend on which queries share a batch.
    threshold = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 2**31 - 1
    try:
        blocks = [_search_block(rows, queries, k, metric, start) for start in range(0, len(rows), BLOCK)]
    finally:
        faiss.cvar.distance_compute_blas_threshold = threshold
    distances, nearest = (np.concatenate(each, axis=1) for each in zip(*blocks, strict=True))
    order = np.lexsort((nearest, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(nearest, order, axis=1)


def _search_block(
    rows: np.ndarray, queries: np.ndarray, k: int, metric: str, start: int
) -> tuple[np.ndarray, np.ndarray]:
    block = np.ascontiguousarray(rows[start : start + BLOCK])
    distances, nearest = faiss.knn(np.ascontiguousarray(queries), block, min(k, len(block)), metric=METRICS[metric])
    return distances, nearest + start


def fit_neighbours(
    x: np.ndarray,
    y: np.ndarray,
    x_validation: np.ndarray,
    y_validation: np.ndarray,
    k: Sequence[int],
    metrics: Sequence[str],
    standard: bool,
) -> Neighbours:
    """Keep the train rows and choose k and metric by validation accuracy; at a tie the first metric, then the least k.

    x, x_validation: float (N, D); y, y_validation: int64 class indices. Raises InputError where k asks for more
    neighbours than there are train rows, or where there is no validation image to choose by.
    """
    if max(k) > len(x):
        raise InputError(f"classifiers: k = {max(k)} neighbours are more than the {len(x)} train images; lower k")
    if not len(x_validation):
        raise InputError("k-NN chooses k by validation accuracy, and there is no labelled validation image")
    scaler = StandardScaler(with_mean=standard, with_std=standard).fit(x)
    mean = scaler.mean_ if standard else np.zeros(x.shape[1])
    scale = scaler.scale_ if standard else np.ones(x.shape[1])
    rows, queries = (((each - mean) / scale).astype(np.float32) for each in (x, x_validation))
    sweep = _sweep(rows, y, queries, y_validation, sorted(set(k)), metrics)
    best = _best(sweep)
    return Neighbours(rows, y, mean, scale, str(best["metric"]), int(best["k"]), sweep)


def _sweep(
    rows: np.ndarray, y: np.ndarray, queries: np.ndarray, truth: np.ndarray, ks: Sequence[int], metrics: Sequence[str]
) -> pd.DataFrame:
    classes = int(y.max()) + 1
    tried = []
    for metric in dict.fromkeys(metrics):
        votes = y[search(rows, queries, ks[-1], metric)[1]]
        for k in ks:
            accuracy = float(np.mean(_shares(votes[:, :k], classes).argmax(axis=1) == truth))
            tried.append({"metric": metric, "k": k, "accuracy": accuracy})
    return pd.DataFrame(tried)


def _best(sweep: pd.DataFrame) -> pd.Series:
    return sweep.iloc[int(sweep["accuracy"].to_numpy().argmax())]  # the first of equals


def _shares(votes: np.ndarray, classes: int) -> np.ndarray:
    counts = np.stack([np.sum(votes == index, axis=1) for index in range(classes)], axis=1)
    return counts / votes.shape[1]


def save_neighbours(folder: Path, fitted: Neighbours) -> None:
    """Write neighbours.npy (rows), labels.npy, scaling.npy (mean and scale) and k_sweep.csv."""
    scaling = np.stack([fitted.mean, fitted.scale])
    for name, array in zip(ARRAYS, (fitted.rows, fitted.labels, scaling), strict=True):
        with written(folder / f"{name}.npy") as partial:
            np.save(partial, array)
    with written(folder / "k_sweep.csv") as partial:
        fitted.sweep.to_csv(partial, index=False)


def load_neighbours(folder: Path, metric: str, k: int) -> Neighbours:
    """Read what `save_neighbours` wrote. Raises InputError for a missing or damaged file."""
    try:
        rows, labels, scaling = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ARRAYS)
        sweep = pd.read_csv(folder / "k_sweep.csv")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no whole k-NN classifier: {' '.join(str(error).split())}") from None
    return Neighbours(rows, labels, scaling[0], scaling[1], metric, k, sweep)


def plot_sweep(sweep: pd.DataFrame, path: Path, title: str) -> None:
    """Draw validation accuracy over k, one curve a metric, as PNG."""
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
    figure.savefig(path, dpi=110, metadata={"Software": None})
