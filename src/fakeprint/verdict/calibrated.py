"""One model's calibration: fitted, applied to all its predictions, and scored."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint import params
from fakeprint.data.arrays import CALIBRATION, Dataset
from fakeprint.evaluation import metrics
from fakeprint.evaluation.predictions import (
    DEGRADED,
    PREDICTED,
    PREDICTIONS,
    Predictions,
    load_predictions,
    save_predictions,
)
from fakeprint.variants import degradations, is_variant
from fakeprint.verdict.calibration import (
    Calibration,
    CrossFitted,
    cross_fit,
    feasible,
    fit,
    require_every_class,
)
from fakeprint.verdict.calibration_report import AFTER, BEFORE, ON_WORST, calibration_scores

CALIBRATIONS = Path("models/calibration")
CLEAN = "clean"


@dataclass(frozen=True)
class CalibratedModel:
    """A model's predictions before and after calibration.

    name: of the model. calibration: the one for new images. on: validation or fold, the images it was fitted on, and
    their number. warning: why it is not what was requested, or None. before, after: by split. degraded_before,
    degraded_after: of the validation images, by degradation.
    """

    name: str
    calibration: Calibration
    on: str
    images: int
    warning: str | None
    before: dict[str, Predictions]
    after: dict[str, Predictions]
    degraded_before: dict[str, Predictions]
    degraded_after: dict[str, Predictions]

    @property
    def worst(self) -> str | None:
        """The degradation with the lowest accuracy, the first of equals; None without any."""
        accuracies = {
            cell: float(each.correct.mean()) for cell, each in self.degraded_after.items() if not is_variant(cell)
        }
        return min(accuracies, key=accuracies.__getitem__) if accuracies else None

    def as_json(self) -> dict[str, Any]:
        """The content of models/calibration/NAME.json: the calibration, and what it was fitted on."""
        return {"calibration": self.calibration.as_json(), "on": self.on, "images": self.images}

    def save(self, folder: Path, classes: list[str]) -> None:
        """Write NAME.parquet into the folder, and degraded/CELL/NAME.parquet."""
        save_predictions(self.name, classes, self.after, folder)
        for cell, predictions in self.degraded_after.items():
            save_predictions(self.name, classes, {"validation": predictions}, folder / "degraded" / cell)

    def figures(self, bins: int, confidence: float, seed: int) -> dict[str, Any]:
        """Calibration errors, Brier score and log loss with intervals, before and after.

        On clean validation images, on the degradation that costs the model most accuracy, and on labelled test images.
        Arguments as of `calibration_report.calibration_scores`.
        """
        pairs = {CLEAN: (self.before["validation"], self.after["validation"])}
        if self.worst:
            pairs[self.worst] = (self.degraded_before[self.worst], self.degraded_after[self.worst])
        if len(self.after["test"].labelled.labels):
            pairs["test"] = (self.before["test"].labelled, self.after["test"].labelled)
        return {
            images: {
                version: scores.as_json()
                for version, scores in calibration_scores(
                    {BEFORE: before, AFTER: after}, bins, confidence, seed
                ).items()
            }
            for images, (before, after) in pairs.items()
        }

    def reliability(self, bins: int) -> dict[str, pd.DataFrame]:
        """`metrics.reliability` on validation: before, after, and after on the worst degradation.

        With fewer bins than requested where a bin would hold fewer than 25 images on average.
        """
        bins = max(1, min(bins, len(self.after["validation"].labels) // 25))
        versions = {BEFORE: self.before["validation"], AFTER: self.after["validation"]}
        if self.worst:
            versions[ON_WORST] = self.degraded_after[self.worst]
        return {
            version: metrics.reliability(each.labels, each.probabilities, bins) for version, each in versions.items()
        }


def calibrate(
    name: str, settings: params.Calibrate, dataset: Dataset, cells: Iterable[str], seed: int
) -> CalibratedModel:
    """Calibrate one model: fit, cross-fit, and apply to its predictions of every split and degradation.

    With `on: validation`, validation images, clean or degraded, get the probabilities of a calibration that was fitted
    on clean images of other folds, and test images those of the fit on all of validation. With `on: fold` one
    calibration, fitted on the fold that no model learned from, serves all.

    Args:
        name: of the model.
        settings: the block `calibrate`.
        dataset: for its classes.
        cells: degradations that the model's predictions are stored of.
        seed: params.seed.

    Raises:
        InputError: predictions are missing, or the method needs images of a class that has none.
    """
    before = {split: load_predictions(name, dataset.classes, split) for split in PREDICTED}
    validation = before["validation"]
    degraded = {cell: load_predictions(name, dataset.classes, "validation", DEGRADED / cell) for cell in cells}
    on_fold = settings.on == "fold"
    known = load_predictions(name, dataset.classes, CALIBRATION, PREDICTIONS) if on_fold else validation
    settings, warning = feasible(settings, known.labels, known.groups)
    require_every_class(settings, known.labels, dataset.names)
    whole = fit(settings, known.probabilities, known.labels)
    if on_fold:
        crossed = CrossFitted([whole], np.zeros(len(validation.labels), dtype=np.int64))
    else:
        crossed = cross_fit(settings, known.probabilities, known.labels, known.groups, seed)

    def calibrated(predictions: Predictions) -> Predictions:
        return replace(predictions, probabilities=crossed(predictions.probabilities))

    test = replace(before["test"], probabilities=whole(before["test"].probabilities))
    return CalibratedModel(
        name,
        whole,
        settings.on,
        len(known.labels),
        warning,
        before,
        {"validation": calibrated(validation), "test": test},
        degraded,
        {cell: calibrated(predictions) for cell, predictions in degraded.items()},
    )


def degraded_cells(name: str, settings: params.Params) -> list[str]:
    """The degradations that the stage `predict_degraded` stores this model's predictions of, with variants."""
    models = settings.robustness.models
    return list(degradations(settings)) if not models or name in models else []
