"""evaluate NAME: figures, report and pictures of one model on the validation images."""

import sys
from pathlib import Path

import pandas as pd

from fakeprint import params, tracking
from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.errors import one_line_errors
from fakeprint.evaluation import metrics, plots
from fakeprint.evaluation.predictions import PREDICTIONS, load_predictions
from fakeprint.files import write_json, written, written_folder


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    dataset = load_dataset()
    names = dataset.names
    said = load_predictions(PREDICTIONS / f"{name}.parquet", dataset.classes, "validation")
    bins = settings.evaluate.calibration_bins
    figures = metrics.figures(said.labels, said.probabilities, names, bins)
    report = metrics.class_report(said.labels, said.predicted, names)

    tables = Path("metrics") / name
    with written(tables / "confusion.csv") as partial:
        pairs = {"actual": [names[row] for row in said.labels], "predicted": [names[row] for row in said.predicted]}
        pd.DataFrame(pairs).to_csv(partial, index=False)
    with written(tables / "report.csv") as partial:
        report.as_frame().to_csv(partial)
    with written(tables / "report.txt") as partial:
        partial.write_text(report.as_text(), encoding="utf-8")
    write_json(tables / "report.json", report.as_json())
    write_json(tables / "evaluate.json", figures)

    title = f"{name} on {settings.title}"
    counts = metrics.confusion(said.labels, said.predicted, len(names))
    calibration = metrics.reliability(said.labels, said.probabilities, bins)
    mistakes = plots.most_confident_mistakes(said.labels, said.probabilities, settings.evaluate.mistakes)
    pictures = {
        "confusion": plots.confusion_picture(counts, names, f"Confusion matrix, validation images\n{title}", False),
        "confusion_normalised": plots.confusion_picture(
            counts, names, f"Confusion matrix, % of the actual class\n{title}", True
        ),
        "reliability": plots.reliability_picture(calibration, figures["ece"], f"Reliability\n{title}"),
        "mistakes": plots.mistakes_picture(
            mistakes, load_split("validation").images, said.image_ids, names, f"Most confident mistakes\n{title}"
        ),
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
