"""What the decision is made from and checked on: the champion's calibrated predictions of labelled images."""

from pathlib import Path

import numpy as np

from fakeprint.errors import InputError
from fakeprint.evaluation.predictions import CALIBRATED, Predictions, load_predictions
from fakeprint.files import read_json
from fakeprint.params import Params
from fakeprint.variants import VARIANTS, is_variant
from fakeprint.verdict import calibration
from fakeprint.verdict.calibrated import CALIBRATIONS, degraded_cells
from fakeprint.verdict.calibration import Calibration
from fakeprint.verdict.deciding import TEST, VALIDATION, Images


def calibration_of(name: str, folder: Path = CALIBRATIONS) -> Calibration:
    """A model's calibration for new images."""
    return calibration.load(read_json(folder / f"{name}.json")["calibration"])


def images_of(name: str, classes: list[str], settings: Params, folder: Path = CALIBRATED) -> dict[str, Images]:
    """The labelled images by name: validation, the degradations of validation, and test where it is labelled.

    name: of the model. folder: of calibrated predictions. Raises InputError where predictions are missing, those of
    variants too that `decide.consistency` needs.
    """

    def load(split: str, cell: str | None = None) -> Predictions:
        return load_predictions(name, classes, split, folder / "degraded" / cell if cell else folder).labelled

    validation, test, cells = load(VALIDATION), load(TEST), degraded_cells(name, settings)
    consistent = None
    if settings.decide.consistency:
        if settings.robustness.models and name not in settings.robustness.models:
            raise InputError(
                f"decide.consistency needs degraded images' predictions by the champion, {name}, which "
                "robustness.models leaves out: add it there, or set robustness.models to []"
            )
        same = [load(VALIDATION, variant).predicted == validation.predicted for variant in VARIANTS]
        consistent = np.logical_and.reduce(same)
    images = {
        VALIDATION: Images(validation, consistent),
        **{cell: Images(load(VALIDATION, cell)) for cell in cells if not is_variant(cell)},
    }
    return images | ({TEST: Images(test)} if len(test.labels) else {})
