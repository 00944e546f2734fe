"""Every model's calibrated probabilities of images that belong to no class."""

import numpy as np

from fakeprint.data.unlabelled import Unlabelled
from fakeprint.degraded import load_models
from fakeprint.evaluation.champion import MODELS
from fakeprint.files import read_json
from fakeprint.models.ensembles.combinations import load_ensemble
from fakeprint.params import Params
from fakeprint.robustness import Combined, predict_degraded
from fakeprint.verdict.calibration import Calibration, load

CALIBRATIONS = MODELS / "calibration"
AS_THEY_ARE = "as_they_are"  # a degradation of no steps


def probabilities_of(found: Unlabelled, settings: Params) -> dict[str, np.ndarray]:
    """Each model of `run`, as it predicts new images: float64 (N, C) of the N readable ones.

    Features are computed once for all classifiers, and members once for all ensembles.
    """
    ensembles = {name: Combined(*load_ensemble(MODELS / name)) for name in settings.run.ensembles}
    members = [member for ensemble in ensembles.values() for member in ensemble.members]
    singles = dict.fromkeys([*settings.run.classifiers, *settings.run.networks, *members])
    models = load_models(singles, settings.predict, MODELS)
    grid: dict[str, dict[str, float]] = {AS_THEY_ARE: {}}
    (_, raw), *_ = predict_degraded(models, ensembles, found.images, grid, settings.seed, settings.run.workers)
    return {name: _calibration(name)(raw[name][found.readable]) for name in settings.run.models}


def _calibration(name: str) -> Calibration:
    return load(read_json(CALIBRATIONS / f"{name}.json")["calibration"])
