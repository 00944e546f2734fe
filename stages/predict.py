"""predict NAME: a model's probabilities of validation, test and calibration images, by the code for new images.

For ensembles that are fitted on degraded images, of degraded validation images too.
"""

import sys
from dataclasses import replace
from pathlib import Path

from fakeprint import parallel, params
from fakeprint.data.arrays import CALIBRATION, load_dataset, load_split
from fakeprint.degraded import load_models, member_probabilities
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

MODELS = Path("models")


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    dataset = load_dataset()
    model = load_model(MODELS / name, settings.run.workers, settings.predict)
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
        grid, seed = settings.degrade.grid, settings.seed
        if grid:
            del model  # it would be in memory twice
            models, images = load_models([name], settings.predict, MODELS), load_split("validation").images
            for cell, of_models in member_probabilities(models, images, grid, seed, settings.run.workers):
                predictions[DEGRADED_SPLIT + cell] = replace(predictions["validation"], probabilities=of_models[name])
        save_predictions(name, dataset.classes, predictions, MEMBERS)


if __name__ == "__main__":
    main()
