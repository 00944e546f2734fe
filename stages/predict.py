"""predict NAME: a model's probabilities of validation, test and calibration images, by the code for new images.

For ensembles that are fitted on degraded images, of degraded validation images too.
"""

import sys
from dataclasses import replace
from pathlib import Path

from fakeprint import parallel, params
from fakeprint.data.arrays import CALIBRATION, load_dataset, load_split
from fakeprint.degraded import degraded_probabilities
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import (
    DEGRADED_SPLIT,
    MEMBERS,
    PREDICTED,
    PREDICTIONS,
    Predictions,
    save_predictions,
)
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
        save_predictions(name, dataset.classes, predictions, PREDICTIONS)
        images, grid = load_split("validation").images, settings.degrade.grid
        for cell, probabilities in degraded_probabilities(
            model.probabilities, images, grid, settings.seed, settings.run.workers
        ):
            predictions[DEGRADED_SPLIT + cell] = replace(predictions["validation"], probabilities=probabilities)
        save_predictions(name, dataset.classes, predictions, MEMBERS)


if __name__ == "__main__":
    main()
