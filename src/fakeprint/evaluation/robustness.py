"""How models fare on degraded images: figures a model and degradation, as files hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.errors import InputError
from fakeprint.evaluation import metrics
from fakeprint.files import read_json

FIGURES = Path("metrics/robustness.json")
TABLE = Path("metrics/robustness.csv")
HEAT = Path("reports/robustness/heat.png")
CLEAN = "clean"
COLUMNS = ("accuracy", "macro_f1", "ece")


@dataclass(frozen=True)
class Worst:
    """The degradation with a model's lowest accuracy (the first of equals), and that accuracy, in [0, 1]."""

    cell: str
    accuracy: float


@dataclass(frozen=True)
class Robustness:
    """figures[model][cell] holds accuracy, macro_f1 and ece, in [0, 1]; `clean` is each model's first cell."""

    figures: dict[str, dict[str, dict[str, float]]]
    images: int

    @property
    def cells(self) -> list[str]:
        """Names of the cells, clean first, then in the order of the grid."""
        return list(next(iter(self.figures.values()))) if self.figures else [CLEAN]

    def worst(self, model: str) -> Worst | None:
        """None for a model that was left out, and where the grid is empty."""
        degraded = {name: row["accuracy"] for name, row in self.figures.get(model, {}).items() if name != CLEAN}
        if not degraded:
            return None
        cell = min(degraded, key=degraded.__getitem__)
        return Worst(cell, degraded[cell])

    def accuracies(self) -> np.ndarray:
        """Float (models, cells), in [0, 1]."""
        return np.array([[row[cell]["accuracy"] for cell in self.cells] for row in self.figures.values()])

    def as_json(self) -> dict[str, Any]:
        """For `dvc metrics show`: nested dicts of numbers, each model's worst cell beside its others."""
        models: dict[str, Any] = {}
        for model, cells in self.figures.items():
            worst = self.worst(model)
            models[model] = {**cells, **({"worst": vars(worst)} if worst else {})}
        return {"images": self.images, "models": models}

    def as_frame(self) -> pd.DataFrame:
        """One row a model and cell: model, cell, accuracy, macro_f1, ece."""
        rows = [
            {"model": model, "cell": cell, **figures}
            for model, cells in self.figures.items()
            for cell, figures in cells.items()
        ]
        return pd.DataFrame(rows, columns=["model", "cell", *COLUMNS])


def figures_of(labels: np.ndarray, probabilities: np.ndarray, names: list[str], bins: int) -> dict[str, float]:
    """accuracy, macro_f1 and ece of one model on one set of images, as `metrics.figures` computes them.

    labels: int (N,). probabilities: float (N, C). names: of the C classes. bins: of the calibration error.
    """
    report = metrics.class_report(labels, probabilities.argmax(axis=1), names)
    error = metrics.expected_calibration_error(metrics.reliability(labels, probabilities, bins))
    return {"accuracy": report.accuracy, "macro_f1": report.macro["f1"], "ece": error}


def robustness(
    said: Mapping[str, Mapping[str, np.ndarray]], labels: np.ndarray, names: list[str], bins: int
) -> Robustness:
    """said[cell][model]: probabilities float (N, C) of the same images in the same order, `clean` first.

    labels: int (N,). names: of the C classes. bins: of the calibration error.
    """
    models = list(said[CLEAN])
    figures = {
        model: {cell: figures_of(labels, answers[model], names, bins) for cell, answers in said.items()}
        for model in models
    }
    return Robustness(figures, len(labels))


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
