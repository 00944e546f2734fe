"""evaluate NAME: figures, report and pictures of one model on validation; figures on test where it is labelled."""

import sys
from pathlib import Path

from fakeprint import params
from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.data.real_classes import real_classes
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import CALIBRATED, PREDICTED, load_predictions
from fakeprint.evaluation.report import evaluate, write_contents, write_pictures, write_tables


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    dataset = load_dataset()
    splits = {split: load_predictions(name, dataset.classes, split, CALIBRATED) for split in PREDICTED}
    real = real_classes(settings.data.real_classes, dataset.classes, dataset.names)
    bins, confidence = settings.evaluate.calibration_bins, settings.compare.confidence
    evaluation = evaluate(splits, dataset.names, real, bins, confidence, settings.seed)

    images, most, title = load_split("validation").images, settings.evaluate.mistakes, f"{name} on {settings.title}"
    tables = write_tables(evaluation, Path("metrics") / name)
    pictures = write_pictures(evaluation, images, most, title, Path("reports") / name)
    write_contents(name, [*tables, *pictures])


if __name__ == "__main__":
    main()
