"""The evaluation of one model: its figures, and the tables and pictures that the stage `evaluate` writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.data.arrays import WholeImages
from fakeprint.digests import EVALUATED, md5, model_digest
from fakeprint.evaluation import detection_plots, metrics, plots
from fakeprint.evaluation.detection_report import Detection, detections
from fakeprint.evaluation.predictions import Predictions
from fakeprint.evaluation.scores import Scores, scored
from fakeprint.files import write_csv, write_figure, write_json, written, written_folder


@dataclass(frozen=True)
class Evaluation:
    """One model on validation, and on test where some test images are labelled.

    predictions: of the validation images. names: of the classes. bins: of the calibration error.
    scores, detected: by split; detected is empty where no class is real.
    """

    predictions: Predictions
    names: list[str]
    bins: int
    scores: dict[str, Scores]
    detected: dict[str, Detection]

    @property
    def figures(self) -> dict[str, Any]:
        """The content of evaluate.json: figures of validation, those of test under `test`."""
        figures = self.scores["validation"].as_json()
        if "test" in self.scores:
            figures["test"] = self.scores["test"].as_json()
        for split, detection in self.detected.items():
            (figures if split == "validation" else figures[split])["detection"] = detection.figures
        return figures


def evaluate(
    splits: Mapping[str, Predictions],
    names: list[str],
    real: Sequence[int],
    bins: int,
    confidence: float,
    seed: int,
) -> Evaluation:
    """Evaluate one model.

    Args:
        splits: its predictions of `validation`, all labelled, and of `test`, whose unlabelled images are left out.
        names: of the classes.
        real: indices of the real classes, for the model's figures as a detector of fakes; may be empty.
        bins: of the calibration error.
        confidence: of the intervals, in (0, 1).
        seed: params.seed, of the bootstrap.
    """
    scores = {
        split: scored(predictions, names, bins, confidence, seed)
        for split, predictions in splits.items()
        if split == "validation" or len(predictions.labelled.labels)
    }
    detected = detections(splits, real, names, seed, confidence)
    return Evaluation(splits["validation"], names, bins, scores, detected)


def write_tables(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write evaluate.json, report.txt, report.csv, report.json and confusion.csv, and return their paths."""
    files = [folder / name for name in ("evaluate.json", "report.txt", "report.csv", "report.json", "confusion.csv")]
    figures, as_text, as_csv, as_json, confusion = files
    names, predictions, report = evaluation.names, evaluation.predictions, evaluation.scores["validation"].report
    pairs = {"actual": predictions.labels, "predicted": predictions.predicted}
    write_csv(confusion, pd.DataFrame({column: [names[row] for row in rows] for column, rows in pairs.items()}))
    write_csv(as_csv, report.as_frame(), index=True)
    with written(as_text) as partial:
        texts = [f"{split} images\n\n{scores.report.as_text()}" for split, scores in evaluation.scores.items()]
        partial.write_text("\n".join(texts), encoding="utf-8")
    write_json(as_json, report.as_json())
    write_json(figures, evaluation.figures)
    return files


def write_pictures(
    evaluation: Evaluation, images: np.ndarray | WholeImages, most: int, title: str, folder: Path
) -> list[Path]:
    """Write all pictures of a model as PNG and return their paths.

    images: uint8 (N, H, W, 3) or whole images, of validation. most: mistakes to show, at most. title: of the model and
    the data.
    """
    names, predictions = evaluation.names, evaluation.predictions
    counts = metrics.confusion(predictions.labels, predictions.predicted, len(names))
    calibration = metrics.reliability(predictions.labels, predictions.probabilities, evaluation.bins)
    scores = evaluation.scores["validation"]
    ece, interval = scores.figures["ece"], scores.intervals.get("ece")
    mistakes = plots.most_confident_mistakes(predictions.labels, predictions.probabilities, most)
    pictures = {
        "confusion": plots.confusion_picture(counts, names, f"Confusion matrix, validation images\n{title}", False),
        "confusion_normalised": plots.confusion_picture(
            counts, names, f"Confusion matrix, % of the actual class\n{title}", True
        ),
        "reliability": plots.reliability_picture(calibration, ece, f"Reliability\n{title}", interval),
        "mistakes": plots.mistakes_picture(
            mistakes, images, predictions.image_ids, names, f"Most confident mistakes\n{title}"
        ),
        **detection_plots.pictures(evaluation.detected, title),
    }
    with written_folder(folder) as partial:
        for picture, figure in pictures.items():
            write_figure(partial / f"{picture}.png", figure)
    return [folder / f"{picture}.png" for picture in pictures]


def write_contents(name: str, files: Sequence[Path]) -> None:
    """Write data/evaluated/NAME.json: a digest of the model, and one of each file that its evaluation wrote.

    Stages that read the evaluations of all models depend on that folder: they cannot depend on metrics/ and reports/,
    which hold the files of other stages too.
    """
    content = {"model": model_digest(Path("models") / name), "files": {file.as_posix(): md5(file) for file in files}}
    write_json(EVALUATED / f"{name}.json", content)
