"""All metrics of one model on one split, with intervals."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fakeprint.evaluation import bootstrap, metrics
from fakeprint.evaluation.intervals import Interval, f1_interval, proportion, symmetric, wilson
from fakeprint.evaluation.metrics import ClassReport
from fakeprint.evaluation.predictions import Predictions

DIGITS = 6  # of an interval's bounds; further digits mean nothing and differ between processors


@dataclass(frozen=True)
class Scores:
    """Figures of one model on one split.

    figures: what `metrics.figures` gives. intervals: the same keys, a pair (low, high) each; figures without one are
    missing. report: precision, recall and F1 per class, with intervals. images: number of labelled
    images.
    """

    figures: dict[str, Any]
    intervals: dict[str, Any]
    report: ClassReport
    images: int

    def as_json(self) -> dict[str, Any]:
        """Nested numbers, and pairs under `intervals`, which `dvc metrics` ignores."""
        return {"images": self.images, **self.figures, "intervals": self.intervals}


def scored(
    predictions: Predictions, names: list[str], bins: int, confidence: float, seed: int, areas: bool = True
) -> Scores:
    """Score the labelled images, at least one.

    Accuracy and each class's precision, recall and F1 have Wilson's interval, for groups where groups hold several
    images (`intervals.proportion`). Averages over classes, log loss, calibration error and ROC-AUC have one by the
    bootstrap over groups (`intervals.symmetric`). The interval of the calibration error is for its mean over samples of
    this size, which is above 0 even for a perfectly calibrated model.

    names: of the C classes. bins: of the calibration error. seed: params.seed, for the bootstrap. areas: whether to
    compute the ROC-AUC, which takes most of the time (0.1 s for 1,250 images of 5 classes, 14 s for 100,000).
    """
    predictions = predictions.labelled
    labels, probabilities = predictions.labels, predictions.probabilities
    figures = metrics.figures(labels, probabilities, names, bins, areas)
    numbers, groups = np.unique(predictions.groups, return_inverse=True)
    totals = bootstrap.totals_of(labels, probabilities, groups, bins)
    report = metrics.class_report(labels, predictions.predicted, names)
    rows = _of_proportions(totals, names, confidence)
    areas = areas and "roc_auc" in figures
    errors = bootstrap.standard_errors(labels, probabilities, groups, bins, seed, areas) if len(numbers) > 1 else {}

    def by_error(name: str, figure: float, most: float | None = 1.0) -> Interval | None:
        return symmetric(figure, errors.get(name, 0.0), len(numbers), confidence, most)

    whole = rows["accuracy"]
    for average in metrics.AVERAGES:
        for key, figure in getattr(report, average).items():
            # If all or no images are right, averages do not vary, like the accuracy; they get its interval.
            rows[f"{average} average", key] = by_error(f"{average}_{key}", figure) or whole
    found = {
        "accuracy": whole,
        "macro_f1": rows["macro average", "f1"],
        "log_loss": by_error("log_loss", figures["log_loss"], None),
        "ece": by_error("ece", figures["ece"]),
    }
    if areas:
        found["roc_auc"] = by_error("roc_auc", figures["roc_auc"]) or _of_no_overlap(
            totals, figures["roc_auc"], confidence
        )
    bounds = {key: _rounded(pair) for key, pair in rows.items() if pair}
    intervals: dict[str, Any] = {name: _rounded(pair) for name, pair in found.items() if pair}
    for key in ("recall", "precision", "f1"):
        intervals[key] = {name: bounds[name, key] for name in figures[key] if (name, key) in bounds}
    return Scores(figures, intervals, replace(report, intervals=bounds), len(labels))


def _of_proportions(totals: bootstrap.Totals, names: list[str], confidence: float) -> dict[Any, Interval | None]:
    """Intervals of the accuracy and of each class's precision, recall and F1."""
    found: dict[Any, Interval | None] = {
        "accuracy": proportion(totals.hits.sum(axis=0), totals.actual.sum(axis=0), confidence)
    }
    for name, hits, actual, predicted in zip(names, totals.hits, totals.actual, totals.predicted, strict=True):
        found[name, "precision"] = proportion(hits, predicted, confidence)
        found[name, "recall"] = proportion(hits, actual, confidence)
        found[name, "f1"] = f1_interval(hits, actual, predicted, confidence)
    return found


def _of_no_overlap(totals: bootstrap.Totals, area: float, confidence: float) -> Interval | None:
    """Interval of a ROC-AUC of 1 (or 0): the mean over classes of Wilson's for the smaller side's number of groups."""
    if area not in (0.0, 1.0):
        return None
    images = totals.actual.sum(axis=0)
    sides = [int(min(np.count_nonzero(actual), np.count_nonzero(images - actual))) for actual in totals.actual]
    bounds = [wilson(round(area * groups), groups, confidence) for groups in sides if groups]
    return float(np.mean([low for low, _ in bounds])), float(np.mean([high for _, high in bounds]))


def _rounded(pair: Interval) -> Interval:
    return round(pair[0], DIGITS), round(pair[1], DIGITS)
