"""How well probabilities are calibrated, before and after calibration, on clean and on degraded images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fakeprint.evaluation import bootstrap, metrics
from fakeprint.evaluation.intervals import Interval, symmetric
from fakeprint.evaluation.predictions import Predictions

FIGURES = ("ece", "classwise_ece", "brier", "log_loss")
LARGEST: dict[str, float | None] = {"ece": 1.0, "classwise_ece": 1.0, "brier": 2.0, "log_loss": None}
DIGITS = 6  # of an interval's bounds, as in `evaluation.scores`
COLUMNS = 3  # of the picture
BEFORE, AFTER, ON_WORST = "before", "after", "after, worst degradation"


@dataclass(frozen=True)
class CalibrationScores:
    """ece, classwise_ece, brier (0–2) and log_loss (nats) of one model's probabilities, with intervals (low, high)."""

    figures: dict[str, float]
    intervals: dict[str, Interval]

    def as_json(self) -> dict[str, Any]:
        """Numbers, and pairs under `intervals`."""
        return {**self.figures, "intervals": self.intervals}


def calibration_scores(
    variants: Mapping[str, Predictions], bins: int, confidence: float, seed: int
) -> dict[str, CalibrationScores]:
    """Score several versions of the probabilities of the same images, for example before and after calibration.

    ECE: Guo et al. 2017. Classwise ECE: the mean over classes of the same error of p(class) against the share of images
    of the class (Kull et al. 2019, "Beyond temperature scaling"). Brier score: the squared distance of the
    probabilities from the one-hot label, summed over classes (Brier 1950). Intervals are by the bootstrap over groups,
    on the same resamples for all versions, as in `evaluation.scores`.

    variants: name → predictions of labelled images, the same in each. bins: of both calibration errors. confidence: of
    the intervals. seed: params.seed.
    """
    first = next(iter(variants.values()))
    numbers, groups = np.unique(first.groups, return_inverse=True)
    sums = {name: _sums(predictions, groups, bins) for name, predictions in variants.items()}
    found = {name: _figures(each.sum(axis=1), bins) for name, each in sums.items()}
    errors: dict[str, dict[str, float]] = {}
    if len(numbers) > 1:
        resampled: dict[str, list[np.ndarray]] = {name: [] for name in variants}
        for drawn in bootstrap.weights(len(numbers), seed):
            for name, each in sums.items():
                resampled[name].append(_figures(each @ drawn, bins))
        scale = np.sqrt(len(numbers) / (len(numbers) - 1))
        for name, parts in resampled.items():
            deviations = np.concatenate(parts, axis=1).std(axis=1) * scale
            errors[name] = dict(zip(FIGURES, deviations.tolist(), strict=True))
    scores = {}
    for name, values in found.items():
        figures = dict(zip(FIGURES, values.tolist(), strict=True))
        intervals = {}
        for key, figure in figures.items():
            error = errors.get(name, {}).get(key, 0.0)
            pair = symmetric(figure, error, len(numbers), confidence, LARGEST[key])
            if pair:
                intervals[key] = (round(pair[0], DIGITS), round(pair[1], DIGITS))
        scores[name] = CalibrationScores(figures, intervals)
    return scores


def _sums(predictions: Predictions, groups: np.ndarray, bins: int) -> np.ndarray:
    """Sums over the images of each group, float (3 + bins + C · bins, G): what `_figures` takes apart."""
    labels, probabilities = predictions.labels, predictions.probabilities
    count, classes = int(groups.max()) + 1, probabilities.shape[1]
    actual = np.eye(classes)[labels]

    def table(rows: np.ndarray, number: int, values: np.ndarray) -> np.ndarray:
        return np.bincount(rows * count + groups, weights=values, minlength=number * count).reshape(number, count)

    confidence, zero = probabilities.max(axis=1), np.zeros(len(labels), dtype=np.int64)
    parts = [
        table(zero, 1, np.ones(len(labels))),
        table(zero, 1, ((probabilities - actual) ** 2).sum(axis=1)),
        table(zero, 1, metrics.losses(labels, probabilities)),
        table(metrics.bin_of(confidence, bins), bins, predictions.correct - confidence),
    ]
    for index in range(classes):
        given = probabilities[:, index]
        parts.append(table(metrics.bin_of(given, bins), bins, actual[:, index] - given))
    return np.concatenate(parts)


def _figures(sums: np.ndarray, bins: int) -> np.ndarray:
    """The figures of `FIGURES`, float (4, …), from sums, float (3 + bins + C · bins, …)."""
    images, brier, loss = sums[:3]
    of_top, of_classes = np.abs(sums[3 : 3 + bins]), np.abs(sums[3 + bins :])
    classes = len(of_classes) // bins
    return np.stack([of_top.sum(axis=0), of_classes.sum(axis=0) / classes, brier, loss]) / images


def calibration_table(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """One row per model, images and version: columns model, images, probabilities, and each figure with low and high.

    scores: model → "clean" or the name of a degradation → "before" or "after" → `CalibrationScores.as_json()`.
    """
    rows = []
    for model, cells in scores.items():
        for cell, versions in cells.items():
            for version, figures in versions.items():
                row: dict[str, Any] = {"model": model, "images": cell, "probabilities": version}
                for key in FIGURES:
                    low, high = figures["intervals"].get(key, (np.nan, np.nan))
                    row |= {key: round(figures[key], DIGITS), f"{key}_low": low, f"{key}_high": high}
                rows.append(row)
    return pd.DataFrame(rows)


def reliability_grid(models: Mapping[str, Mapping[str, pd.DataFrame]], title: str) -> Figure:
    """Accuracy over confidence of each model, one panel each, a line per version of its probabilities.

    models: name → {"before": …, "after": …, "after, worst degradation": …}, tables of `metrics.reliability`, each as
    far as there is one.
    """
    columns = min(COLUMNS, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(3.3 * columns + 2.0, 3.2 * rows + 0.9), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)).ravel()
    styles = {BEFORE: ("#8a8a8a", "-", "o"), AFTER: ("#1f5fa8", "-", "o"), ON_WORST: ("#d9641c", "--", "s")}
    drawn: dict[str, Any] = {}
    for axes, (name, versions) in zip(panels, models.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
        for version, table in versions.items():
            colour, line, marker = styles[version]
            shown = table[table["images"] >= _fewest(int(table["images"].sum()))]
            (drawn[version],) = axes.plot(
                shown["confidence"], shown["accuracy"], line, color=colour, marker=marker, markersize=3.5, clip_on=False
            )
        axes.set_title(name, fontsize=10)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(models) - columns) : len(models)]:  # the lowest of each column, also above a gap
        axes.tick_params(labelbottom=True)
    figure.supxlabel("confidence (largest probability)", fontsize=10)
    figure.supylabel("accuracy", fontsize=10)
    figure.suptitle(title)
    figure.legend(drawn.values(), drawn.keys(), loc="outside right upper", frameon=False, fontsize=9)
    return figure


def _fewest(images: int) -> int:
    """Bins with fewer images are not drawn: their accuracy is noise."""
    return max(1, min(8, images // 30))
