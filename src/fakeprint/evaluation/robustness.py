"""Metrics of every model on degraded images, and the files that hold them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.errors import InputError
from fakeprint.evaluation.intervals import Interval
from fakeprint.evaluation.predictions import Predictions
from fakeprint.evaluation.scores import scored
from fakeprint.files import read_json

FIGURES = Path("metrics/robustness.json")
TABLE = Path("metrics/robustness.csv")
HEAT = Path("reports/robustness/heat.png")
CLEAN = "clean"
COLUMNS = ("accuracy", "macro_f1", "ece")


@dataclass(frozen=True)
class Worst:
    """The degradation with a model's lowest accuracy (the first of equals), and that accuracy, in [0, 1].

    interval: of that accuracy, where known. The lowest of several accuracies is slightly biased downwards.
    """

    cell: str
    accuracy: float
    interval: Interval | None = None

    def as_json(self) -> dict[str, Any]:
        """cell, accuracy, and low and high where the interval is known."""
        bounds = {"low": self.interval[0], "high": self.interval[1]} if self.interval else {}
        return {"cell": self.cell, "accuracy": self.accuracy, **bounds}


@dataclass(frozen=True)
class Robustness:
    """Metrics of every model on every degradation; `clean` is each model's first cell.

    figures[model][cell] holds accuracy, macro_f1 and ece, in [0, 1], and under `intervals` a pair [low, high] of each.
    """

    figures: dict[str, dict[str, dict[str, Any]]]
    images: int

    @property
    def cells(self) -> list[str]:
        """Names of the cells, clean first, then in the order of the grid."""
        return list(next(iter(self.figures.values()))) if self.figures else [CLEAN]

    def worst(self, model: str) -> Worst | None:
        """The worst degradation of a model; None for a model that was left out, and for an empty grid."""
        degraded = {name: row["accuracy"] for name, row in self.figures.get(model, {}).items() if name != CLEAN}
        if not degraded:
            return None
        cell = min(degraded, key=degraded.__getitem__)
        return Worst(cell, degraded[cell], self.interval(model, cell))

    def accuracies(self) -> np.ndarray:
        """Float (models, cells), in [0, 1]."""
        return np.array([[row[cell]["accuracy"] for cell in self.cells] for row in self.figures.values()])

    def interval(self, model: str, cell: str, figure: str = "accuracy") -> Interval | None:
        """The interval of one figure, or None."""
        pair = self.figures[model][cell].get("intervals", {}).get(figure)
        return (pair[0], pair[1]) if pair else None

    def as_json(self) -> dict[str, Any]:
        """For `dvc metrics show`: nested dicts of numbers, each model's worst cell beside its others."""
        models: dict[str, Any] = {}
        for model, cells in self.figures.items():
            worst = self.worst(model)
            models[model] = {**cells, **({"worst": worst.as_json()} if worst else {})}
        return {"images": self.images, "models": models}

    def as_frame(self) -> pd.DataFrame:
        """One row per model and cell: model, cell, accuracy, accuracy_low, accuracy_high, macro_f1, …, ece, …."""
        rows = []
        for model, cells in self.figures.items():
            for cell, figures in cells.items():
                row: dict[str, Any] = {"model": model, "cell": cell}
                for name in COLUMNS:
                    low, high = self.interval(model, cell, name) or (np.nan, np.nan)
                    row |= {name: figures[name], f"{name}_low": low, f"{name}_high": high}
                rows.append(row)
        bounds = [column for name in COLUMNS for column in (name, f"{name}_low", f"{name}_high")]
        return pd.DataFrame(rows, columns=["model", "cell", *bounds])


def figures_of(predictions: Predictions, names: list[str], bins: int, confidence: float, seed: int) -> dict[str, Any]:
    """accuracy, macro_f1 and ece of one model on one set of images, with intervals; arguments as of `scores.scored`."""
    scores = scored(predictions, names, bins, confidence, seed, areas=False)
    intervals = {name: list(scores.intervals[name]) for name in COLUMNS if name in scores.intervals}
    return {**{name: scores.figures[name] for name in COLUMNS}, "intervals": intervals}


def robustness(
    load: Callable[[str, str], Predictions],
    models: Iterable[str],
    cells: Iterable[str],
    names: list[str],
    bins: int,
    confidence: float,
    seed: int,
) -> Robustness:
    """Figures of every model on every degradation.

    load: gives a model's predictions of the validation images in one cell, both by name; they are loaded one after the
    other. cells: `clean` first. names: of the C classes. bins: of the calibration error. confidence: of the intervals.
    seed: params.seed, of the bootstrap.
    """
    cells, images = list(cells), 0
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for model in models:
        figures[model] = {}
        for cell in cells:
            predictions = load(model, cell)
            figures[model][cell] = figures_of(predictions, names, bins, confidence, seed)
            images = len(predictions.labels)
    return Robustness(figures, images)


def load_robustness(path: Path = FIGURES) -> Robustness:
    """Read metrics/robustness.json. Raises InputError where the stage has not run."""
    if not path.exists():
        raise InputError(f"{path} is missing: run `dvc repro robustness` first")
    content = read_json(path)
    figures = {
        model: {cell: row for cell, row in cells.items() if cell != "worst"}
        for model, cells in content["models"].items()
    }
    return Robustness(figures, content["images"])
