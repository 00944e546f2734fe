"""What models answer for images that belong to no class, beside what they answer for the validation images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fakeprint.evaluation.predictions import Predictions
from fakeprint.verdict.largest_probability import max_probability, of_probabilities
from fakeprint.verdict.selective import share
from fakeprint.verdict.separation import Scored, figures

THRESHOLDS = (0.5, 0.7, 0.9, 0.95, 0.99)  # of the largest probability, above which an image counts as answered
BINS = 25
PANELS = 4  # side by side


@dataclass(frozen=True)
class Answers:
    """One model's probabilities: of validation images, and of N images of no class, float64 (N, C)."""

    known: Predictions
    unknown: np.ndarray


def figures_of(answers: Answers, names: Sequence[str], seed: int, confidence: float) -> dict[str, Any]:
    """How well the largest probability tells the images of no class from the validation images.

    Figures and `intervals` as in `verdict.separation`; `answered`: for each of `THRESHOLDS` the share of the known and
    of the unknown images whose largest probability reaches it, each with an interval that takes groups as units;
    `taken_for`: the share of the unknown images whose most probable class it is. Every unknown image counts as a group
    of its own.
    """
    known, unknown = answers.known.probabilities.max(axis=1), answers.unknown.max(axis=1)
    apart = int(answers.known.groups.max()) + 1 + np.arange(len(unknown))
    scored = Scored(
        np.arange(len(known) + len(unknown)) >= len(known),
        max_probability(of_probabilities(np.concatenate([answers.known.probabilities, answers.unknown]))),
        np.concatenate([answers.known.correct, np.zeros(len(unknown), bool)]),
        np.concatenate([answers.known.groups, apart]),
    )
    values, intervals = figures(scored, None, seed, confidence)
    shares = np.bincount(answers.unknown.argmax(axis=1), minlength=len(names)) / len(unknown)
    return {
        "known_images": len(known),
        "unknown_images": len(unknown),
        **values,
        "intervals": {name: list(pair) for name, pair in intervals.items()},
        "answered": {
            f"{threshold:g}": {
                "known": _share(known >= threshold, answers.known.groups, confidence),
                "unknown": _share(unknown >= threshold, apart, confidence),
            }
            for threshold in THRESHOLDS
        },
        "taken_for": dict(zip(names, shares.tolist(), strict=True)),
    }


def _share(reached: np.ndarray, groups: np.ndarray, confidence: float) -> dict[str, float]:
    found = share(reached, np.ones(len(reached), dtype=bool), groups, confidence).as_json()
    return {key: found[key] for key in ("share", "low", "high")}


def table(figures: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row per model and threshold: model, auroc and its bounds, threshold, answered_known, answered_unknown."""
    rows = []
    for model, content in figures.items():
        low, high = content["intervals"].get("auroc", (np.nan, np.nan))
        for threshold, answered in content["answered"].items():
            row = {"model": model, "auroc": content["auroc"], "auroc_low": low, "auroc_high": high}
            shares = {f"answered_{kind}": answered[kind]["share"] for kind in ("known", "unknown")}
            rows.append({**row, "threshold": float(threshold), **shares})
    return pd.DataFrame(rows)


def distributions_picture(answers: Mapping[str, Answers], title: str) -> Figure:
    """Histograms of the largest probability, one panel per model: validation images and images of no class."""
    across = min(PANELS, len(answers))
    down = -(-len(answers) // across)
    figure = Figure(figsize=(max(5.0, 3.2 * across), 1.3 + 2.4 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
    for axes, (name, each) in zip(panels, answers.items(), strict=False):
        parts = {"validation images": each.known.probabilities, "images of no class": each.unknown}
        for (label, part), colour in zip(parts.items(), ("#1f5fa8", "#d9641c"), strict=True):
            weights = np.full(len(part), 1 / len(part))
            axes.hist(part.max(axis=1), BINS, range=(0, 1), weights=weights, alpha=0.55, color=colour, label=label)
        axes.set_title(name, fontsize=10)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes in panels[len(answers) :]:
        axes.set_axis_off()
    figure.supxlabel("largest probability", fontsize=10)
    figure.supylabel("share of the images", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    figure.suptitle(title)
    return figure
