"""evaluate NAME: figures, report and pictures of one model on validation; figures on test where it is labelled."""

import sys
from pathlib import Path

import pandas as pd

from fakeprint import params, tracking
from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.data.real_classes import real_classes
from fakeprint.errors import one_line_errors
from fakeprint.evaluation import detection_plots, metrics, plots
from fakeprint.evaluation.detection_report import detections
from fakeprint.evaluation.predictions import PREDICTIONS, load_predictions
from fakeprint.evaluation.scores import scored
from fakeprint.files import write_json, written, written_folder


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    dataset = load_dataset()
    names, bins = dataset.names, settings.evaluate.calibration_bins
    splits = {
        split: load_predictions(PREDICTIONS / f"{name}.parquet", dataset.classes, split)
        for split in ("validation", "test")
    }
    scores = {
        split: scored(predictions, names, bins, settings.compare.confidence, settings.seed)
        for split, predictions in splits.items()
        if split == "validation" or len(predictions.labelled.labels)
    }
    predictions, of_validation = splits["validation"], scores["validation"]
    figures = of_validation.as_json() | ({"test": scores["test"].as_json()} if "test" in scores else {})
    real = real_classes(settings.data.real_classes, dataset.classes, names)
    detected = detections(splits, real, names, settings.seed, settings.compare.confidence)
    for split, detection in detected.items():
        (figures if split == "validation" else figures[split])["detection"] = detection.figures

    tables = Path("metrics") / name
    with written(tables / "confusion.csv") as partial:
        pairs = {"actual": predictions.labels, "predicted": predictions.predicted}
        pd.DataFrame({key: [names[row] for row in rows] for key, rows in pairs.items()}).to_csv(partial, index=False)
    with written(tables / "report.csv") as partial:
        of_validation.report.as_frame().to_csv(partial)
    with written(tables / "report.txt") as partial:
        texts = [f"{split} images\n\n{each.report.as_text()}" for split, each in scores.items()]
        partial.write_text("\n".join(texts), encoding="utf-8")
    write_json(tables / "report.json", of_validation.report.as_json())
    write_json(tables / "evaluate.json", figures)

    title = f"{name} on {settings.title}"
    counts = metrics.confusion(predictions.labels, predictions.predicted, len(names))
    calibration = metrics.reliability(predictions.labels, predictions.probabilities, bins)
    ece, interval = of_validation.figures["ece"], of_validation.intervals.get("ece")
    mistakes = plots.most_confident_mistakes(predictions.labels, predictions.probabilities, settings.evaluate.mistakes)
    pictures = {
        "confusion": plots.confusion_picture(counts, names, f"Confusion matrix, validation images\n{title}", False),
        "confusion_normalised": plots.confusion_picture(
            counts, names, f"Confusion matrix, % of the actual class\n{title}", True
        ),
        "reliability": plots.reliability_picture(calibration, ece, f"Reliability\n{title}", interval),
        "mistakes": plots.mistakes_picture(
            mistakes, load_split("validation").images, predictions.image_ids, names, f"Most confident mistakes\n{title}"
        ),
        **detection_plots.pictures(detected, title),
    }
    reports = Path("reports") / name
    with written_folder(reports) as partial:
        for picture, figure in pictures.items():
            plots.save(figure, partial / f"{picture}.png")

    written_tables = [tables / name for name in ("report.txt", "report.csv", "report.json", "confusion.csv")]
    artifacts = [*written_tables, *(reports / f"{picture}.png" for picture in pictures)]
    tracking.attach(settings, name, Path("models") / name, figures, artifacts)


if __name__ == "__main__":
    main()
