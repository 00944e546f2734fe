"""Metrics of a classifier, from class indices and probabilities."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.evaluation.intervals import Interval

LEAST_PROBABILITY = 1e-15  # a k-NN predicts probabilities of 0, whose log loss would be infinite


AVERAGES = ("macro", "weighted")


@dataclass(frozen=True)
class ClassReport:
    """Precision, recall, F1 and support per class, and their averages.

    table: indexed by class name, columns precision, recall, f1 (floats in [0, 1]) and support (int). Precision is 0
    for a class that was never predicted; recall is NaN for a class without images, and all three if it was never
    predicted either.
    macro, weighted: the averages over classes, unweighted and by support, without NaN. accuracy: in [0, 1].
    intervals: (low, high) of the figures, keyed by "accuracy", and by row ("macro average", …) and column; figures
    without an interval are missing.
    """

    table: pd.DataFrame
    macro: dict[str, float]
    weighted: dict[str, float]
    accuracy: float
    intervals: dict[Any, Interval] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Number of all images."""
        return int(self.table["support"].sum())

    def as_frame(self) -> pd.DataFrame:
        """The table with the averages below it, and FIGURE_low and FIGURE_high where there are intervals."""
        averages = [{**self.macro, "support": self.images}, {**self.weighted, "support": self.images}]
        below = pd.DataFrame(averages, index=[f"{name} average" for name in AVERAGES])
        frame = pd.concat([self.table, below]).rename_axis("class")
        for key in self.macro if self.intervals else ():
            bounds = [self.intervals.get((name, key), (np.nan, np.nan)) for name in frame.index]
            frame[f"{key}_low"], frame[f"{key}_high"] = zip(*bounds, strict=True)
        return frame

    def as_text(self) -> str:
        """The report as a text table."""
        frame = self.as_frame()
        width = max(len(str(name)) for name in frame.index)
        column = 22 if self.intervals else 9
        lines = ["".join([f"{'':{width}}", *(f"  {key:>{column}}" for key in self.macro), f"  {'support':>9}"])]
        for name, row in frame.iterrows():
            if name == "macro average":
                lines.append("")
            figures = "".join(f"  {self._cell(row[key], (name, key)):>{column}}" for key in self.macro)
            lines.append(f"{name!s:{width}}{figures}  {int(row['support']):>9}")
        blank = f"{'':{2 * (column + 2)}}"
        accuracy_cell = self._cell(self.accuracy, "accuracy")
        lines.append(f"{'accuracy':{width}}{blank}  {accuracy_cell:>{column}}  {self.images:>9}")
        return "\n".join(lines) + "\n"

    def _cell(self, value: float, key: Any) -> str:
        if np.isnan(value):
            return "–"
        bounds = self.intervals.get(key)
        return f"{value:.4f} ({bounds[0]:.4f}–{bounds[1]:.4f})" if bounds else f"{value:.4f}"

    def as_json(self) -> dict[str, Any]:
        """The report as nested dicts of numbers, and lists [low, high]; None where a figure is not defined."""
        rows = {
            name: {
                **{key: number(row[key]) for key in self.macro},
                "support": int(row["support"]),
                **self._bounds_of(name),
            }
            for name, row in self.as_frame().iterrows()
        }
        averages = {name: rows.pop(name) for name in [f"{name} average" for name in AVERAGES]}
        intervals = {"intervals": {"accuracy": list(self.intervals["accuracy"])}} if self.intervals else {}
        return {"classes": rows, **averages, "accuracy": self.accuracy, **intervals}

    def _bounds_of(self, row: Any) -> dict[str, Any]:
        bounds = {key: list(self.intervals[row, key]) for key in self.macro if (row, key) in self.intervals}
        return {"intervals": bounds} if bounds else {}


def number(value: Any) -> float | None:
    """`value` as a float for JSON, None for NaN."""
    return None if np.isnan(value) else float(value)


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis without NaN; NaN if all values are NaN."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    sums = np.where(defined, values, 0.0).sum(axis=0)
    return np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0)


def class_report(actual: np.ndarray, predicted: np.ndarray, names: list[str]) -> ClassReport:
    """Precision, recall, F1 and support per class, as scikit-learn defines them.

    They are counted here because scikit-learn takes a second to import, which several stages then do without.

    actual, predicted: int (N,), indices into `names`. N ≥ 1.
    """
    counts = confusion(actual, predicted, len(names))
    right, support, answered = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    occurs = support + answered > 0
    figures = {
        "precision": _shares(right, np.maximum(answered, occurs)),  # 0, not undefined, where never predicted
        "recall": _shares(right, support),
        "f1": _shares(2 * right, support + answered),
    }
    table = pd.DataFrame({**figures, "support": support}, index=pd.Index(names, dtype=object))
    macro = {key: float(np.nanmean(values)) for key, values in figures.items()}
    present = support > 0
    weighted = {key: float(np.average(values[present], weights=support[present])) for key, values in figures.items()}
    return ClassReport(table, macro, weighted, accuracy(actual, predicted))


def accuracy(actual: np.ndarray, predicted: np.ndarray) -> float:
    """Share of images, in [0, 1], whose predicted class index is the actual one."""
    return float(np.mean(np.asarray(actual) == np.asarray(predicted)))


def confusion(actual: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts int64 (C, C): row = actual class, column = predicted class."""
    places = np.asarray(actual) * classes + np.asarray(predicted)
    return np.bincount(places, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Each row of a confusion matrix as shares in [0, 1]; a class without images has a row of NaN."""
    return _shares(counts, counts.sum(axis=1, keepdims=True))


def _shares(counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Quotients `counts` / `totals`, NaN where the total is 0."""
    return np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)


def log_loss(actual: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of −ln p(actual class), in nats, with p clipped to at least 1e-15 (so at most 34.5 per image).

    actual: int (N,). probabilities: float (N, C).
    """
    return float(losses(actual, probabilities).mean())


def losses(actual: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """−ln p(actual class) of each image, float (N,), with p clipped to at least 1e-15; arguments as of `log_loss`."""
    given = probabilities[np.arange(len(actual)), actual]
    return np.asarray(-np.log(np.clip(given, LEAST_PROBABILITY, 1.0)))


def reliability(actual: np.ndarray, probabilities: np.ndarray, bins: int) -> pd.DataFrame:
    """Confidence against accuracy in `bins` bins of equal width: (0, 1/M], …, ((M−1)/M, 1] (Guo et al. 2017).

    Columns: low, high (of the bin), images (int), confidence (mean of the largest probability), accuracy; the last two
    are NaN in an empty bin.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == actual
    place, edges = bin_of(confidence, bins), np.linspace(0, 1, bins + 1)
    images = np.bincount(place, minlength=bins)
    filled = images > 0
    means = [
        np.divide(np.bincount(place, weights=values, minlength=bins), images, out=np.full(bins, np.nan), where=filled)
        for values in (confidence, correct.astype(float))
    ]
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "images": images, "confidence": means[0], "accuracy": means[1]}
    )


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin, int (N,) from 0, of each confidence in [0, 1]; bins are closed above.

    Probabilities that should be a multiple of 1/M may be off by rounding: they belong to the bin that ends there.
    """
    edges = np.linspace(0, 1, bins + 1)
    return np.clip(np.searchsorted(edges, confidence - 1e-12, side="left") - 1, 0, bins - 1)


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """Mean over images of |accuracy − confidence| of their bin, in [0, 1]; `bins` is what `reliability` gives.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3.
    """
    gaps = (bins["accuracy"] - bins["confidence"]).abs() * bins["images"]
    return float(gaps.sum() / bins["images"].sum())


def roc_auc(actual: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Area under the ROC curve, one class against the rest, averaged over the classes that have images.

    In [0, 1], 0.5 is chance. For two classes it is the usual binary area. None where fewer than two have images.
    """
    from sklearn.metrics import roc_auc_score

    areas = [
        roc_auc_score(actual == index, probabilities[:, index])
        for index in range(probabilities.shape[1])
        if 0 < np.count_nonzero(actual == index) < len(actual)
    ]
    return float(np.mean(areas)) if areas else None


def figures(
    actual: np.ndarray, probabilities: np.ndarray, names: list[str], bins: int, areas: bool = True
) -> dict[str, Any]:
    """All metrics of one model, as nested dicts of numbers, for `metrics/MODEL/evaluate.json`.

    What cannot be computed is left out (ROC-AUC of one class), or null (recall of a class without images), so that each
    class keeps its place.

    actual: int (N,). probabilities: float (N, C). names: of the C classes. bins: number of bins of the calibration
    error. areas: whether to compute the ROC-AUC.
    """
    report = class_report(actual, probabilities.argmax(axis=1), names)
    area = roc_auc(actual, probabilities) if areas else None
    return {
        "accuracy": report.accuracy,
        "macro_f1": report.macro["f1"],
        "log_loss": log_loss(actual, probabilities),
        "ece": expected_calibration_error(reliability(actual, probabilities, bins)),
        **({} if area is None else {"roc_auc": area}),
        **{
            key: {name: None if np.isnan(value) else value for name, value in report.table[key].to_dict().items()}
            for key in ("recall", "precision", "f1")
        },
    }
