"""The bootstrap over groups: how a model's metrics vary over other samples of as many groups of images.

Each resample draws as many groups as there are, with replacement (Efron 1979; whole groups, because the images of a
group are not independent). Draws are not stratified by class: the number of images per class is random too, and a group
may hold several classes. A resample without images of a class is scored like any sample without them.

All figures but the ROC-AUC are functions of weighted sums over groups, so many resamples are one matrix product.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fakeprint import seeds
from fakeprint.evaluation import metrics

RESAMPLES = 2000
CHUNK = 64  # resamples drawn together: few, so that those of a small sample fit into the processor's cache
CHUNK_WEIGHTS = 2**22  # weights of 8 bytes in memory at most; large samples are drawn in smaller chunks


@dataclass(frozen=True)
class Totals:
    """Sums over images; the last axis is that of groups or of resamples.

    hits, actual, predicted: images (C, …) whose actual class was predicted, of the class, predicted as the class.
    loss: (…), −ln p of the actual class. gaps: (bins, …), correctness less confidence of the images of each bin.
    """

    hits: np.ndarray
    actual: np.ndarray
    predicted: np.ndarray
    loss: np.ndarray
    gaps: np.ndarray

    def weighted(self, weights: np.ndarray) -> "Totals":
        """The totals of resamples, (…, B), in which each group counts as often as `weights`, float (G, B)."""
        return Totals(*(part @ weights for part in vars(self).values()))

    def figures(self) -> dict[str, np.ndarray]:
        """accuracy, log_loss, ece and the report's averages (`macro_f1`, `weighted_precision`, …), each float (…).

        Defined as in `fakeprint.evaluation.metrics`; what a sample does not define is left out of a mean.
        """
        images = self.actual.sum(axis=0)
        images = np.where(images, images, np.nan)  # a draw of few groups may leave out all images of a fold
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = self.hits / self.predicted, self.hits / self.actual
            f1 = 2 * self.hits / (self.actual + self.predicted)
        precision = np.where((self.predicted == 0) & (self.actual > 0), 0.0, precision)
        found = {
            "accuracy": self.hits.sum(axis=0) / images,
            "log_loss": self.loss / images,
            "ece": np.abs(self.gaps).sum(axis=0) / images,
        }
        for name, shares in (("precision", precision), ("recall", recall), ("f1", f1)):
            found[f"macro_{name}"] = metrics.mean_of_defined(shares)
            found[f"weighted_{name}"] = (np.nan_to_num(shares) * self.actual).sum(axis=0) / images
        return found


def totals_of(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, bins: int) -> Totals:
    """Sums over the images of each group, last axis G.

    labels: int (N,). probabilities: float (N, C). groups: int (N,), from 0 to G − 1. bins: of the calibration error.
    """
    count, classes = int(groups.max()) + 1, probabilities.shape[1]
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    correct = predicted == labels

    def table(rows: np.ndarray, number: int, values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(rows * count + groups, weights=values, minlength=number * count).reshape(number, count)

    place = metrics.bin_of(confidence, bins)
    return Totals(
        table(labels, classes, correct.astype(np.float64)),
        table(labels, classes).astype(np.float64),
        table(predicted, classes).astype(np.float64),
        np.bincount(groups, weights=metrics.losses(labels, probabilities), minlength=count),
        table(place, bins, correct - confidence),
    )


@dataclass(frozen=True)
class Ranking:
    """One class's scores in order, for the ROC-AUC of resamples.

    positives, negatives: rows of the images of the class and of the others, the latter by score, ascending. below,
    not_above: int, for each positive, the number of negatives that score less, and at most as much.
    """

    positives: np.ndarray
    negatives: np.ndarray
    below: np.ndarray
    not_above: np.ndarray

    def area(self, weights: np.ndarray) -> np.ndarray:
        """ROC-AUC, float (B,), of images weighted by `weights`, float (N, B); NaN without positives or negatives.

        The share of pairs of a positive and a negative in which the positive scores more, ties half (Bamber 1975).
        """
        others = np.zeros((len(self.negatives) + 1, weights.shape[1]))
        np.cumsum(weights[self.negatives], axis=0, out=others[1:])
        mine = weights[self.positives]
        pairs = mine.sum(axis=0) * others[-1]
        won = np.einsum("ij,ij->j", mine, others[self.below]) + np.einsum("ij,ij->j", mine, others[self.not_above])
        return np.divide(0.5 * won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def ranking(positive: np.ndarray, scores: np.ndarray) -> Ranking:
    """Order the images for `Ranking`. positive: bool (N,), whether each is of the class. scores: float (N,)."""
    mine, others = np.flatnonzero(positive), np.flatnonzero(~positive)
    others = others[np.argsort(scores[others], kind="stable")]
    return Ranking(
        mine,
        others,
        np.searchsorted(scores[others], scores[mine], side="left"),
        np.searchsorted(scores[others], scores[mine], side="right"),
    )


def weights(groups: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each group is drawn, float64 (groups, b), in chunks of resamples; each column sums to `groups`.

    The draws are the same for every model and split with as many groups.
    """
    rng = seeds.generator(seed, "bootstrap")
    chunk = max(1, min(CHUNK, CHUNK_WEIGHTS // groups))
    for start in range(0, RESAMPLES, chunk):
        columns = min(chunk, RESAMPLES - start)
        drawn = rng.integers(0, groups, size=(groups, columns)) * columns + np.arange(columns)
        yield np.bincount(drawn.ravel(), minlength=groups * columns).reshape(groups, columns).astype(np.float64)


def standard_errors(
    labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, bins: int, seed: int, areas: bool = True
) -> dict[str, float]:
    """Standard deviation over resamples of each figure of `Totals.figures` and, with areas, of roc_auc.

    labels: int (N,). probabilities: float (N, C). groups: int (N,), from 0 to G − 1, G ≥ 2. bins: of the calibration
    error. Memory: some 200 MB, and a few times what the arguments take.
    """
    totals = totals_of(labels, probabilities, groups, bins)
    classes = range(probabilities.shape[1]) if areas else ()
    rankings = [ranking(labels == index, probabilities[:, index]) for index in classes]
    count = totals.loss.shape[-1]
    found: dict[str, list[np.ndarray]] = {}
    for drawn in weights(count, seed):
        figures = totals.weighted(drawn).figures()
        if areas:
            of_images = drawn[groups]
            each = np.array([ranked.area(of_images) for ranked in rankings])
            figures["roc_auc"] = metrics.mean_of_defined(each)
        for name, values in figures.items():
            found.setdefault(name, []).append(values)
    scale = np.sqrt(count / (count - 1))
    return {name: float(np.nanstd(np.concatenate(values)) * scale) for name, values in found.items()}
