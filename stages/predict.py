"""predict NAME: a model's probabilities of validation, test and calibration images, by the code for new images."""

import sys
from pathlib import Path

from fakeprint import parallel, params
from fakeprint.data.arrays import CALIBRATION, load_dataset, load_split
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import MEMBERS, PREDICTED, PREDICTIONS, Predictions, save_predictions
from fakeprint.predict import load_model


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    dataset = load_dataset()
    model = load_model(Path("models") / name, settings.run.workers, settings.predict)
    predictions = {}
    with parallel.backend(settings.run):
        for split in (*PREDICTED, CALIBRATION):
            arrays = load_split(split)
            predictions[split] = Predictions(
                arrays.image_ids,
                arrays.labels,
                model.probabilities(arrays.images),
                arrays.groups,
                arrays.generators,
            )
    for folder in (PREDICTIONS, MEMBERS):
        save_predictions(name, dataset.classes, predictions, folder)


if __name__ == "__main__":
    main()
