"""What `fit` writes beside a classifier: pictures and tables that say what it found."""

from pathlib import Path

import numpy as np

from fakeprint.blocks import Rows
from fakeprint.models.classifiers.files import FittedClassifier
from fakeprint.models.classifiers.neighbours import Neighbours, plot_sweep
from fakeprint.models.classifiers.scaling import as_fitted

Labelled = tuple[Rows, np.ndarray]  # features (N, D) and class indices (N,)


def write_reports(folder: Path, fitted: FittedClassifier, train: Labelled, validation: Labelled, seed: int) -> None:
    """Write what this kind of classifier has to show into its folder; most have nothing.

    k-NN: accuracy over k. fingerprint: see `write_fingerprints`. seed: for random draws.
    """
    settings = fitted.description["settings"]
    if isinstance(fitted.model, Neighbours):
        plot_sweep(fitted.model.sweep, folder / "k_sweep.png", f"k-NN on {' + '.join(fitted.features)}")
    elif settings["method"] == "fingerprint":
        # here: it imports matplotlib and scikit-learn, which most fits do not need
        from fakeprint.models.fit_reports.fingerprints import write_fingerprints

        x, x_validation = (as_fitted(rows, settings["scale"]) for rows, _ in (train, validation))
        unit = "√(grey levels)" if settings["scale"] == "sqrt" else "grey levels"
        dataset, labelled = fitted.description["dataset"], (x_validation, validation[1])
        write_fingerprints(folder, fitted.model[-1], dataset, (x, train[1]), labelled, seed, unit)
