"""What `fit` writes beside a classifier: pictures and tables that say what it found."""

from pathlib import Path

import numpy as np

from fakeprint.blocks import Rows
from fakeprint.models.classifiers import FittedClassifier, as_fitted
from fakeprint.models.fingerprints import FingerprintClassifier
from fakeprint.models.neighbours import Neighbours, plot_sweep

Labelled = tuple[Rows, np.ndarray]  # features (N, D) and class indices (N,)


def write_reports(folder: Path, fitted: FittedClassifier, train: Labelled, validation: Labelled, seed: int) -> None:
    """Write what this kind of classifier has to show into its folder; most have nothing.

    k-NN: accuracy over k. fingerprint: see `write_fingerprints`. seed: for random draws.
    """
    if isinstance(fitted.model, Neighbours):
        plot_sweep(fitted.model.sweep, folder / "k_sweep.png", f"k-NN on {' + '.join(fitted.features)}")
    elif isinstance(fitted.model[-1], FingerprintClassifier):
        # here: drawing imports matplotlib, which most fits do not need
        from fakeprint.models.fingerprint_reports import write_fingerprints

        scale = fitted.description["settings"]["scale"]
        (x, y), (x_validation, y_validation) = train, validation
        write_fingerprints(
            folder,
            fitted.model[-1],
            fitted.description["dataset"],
            (as_fitted(x, scale), y),
            (as_fitted(x_validation, scale), y_validation),
            seed,
            "√(grey levels)" if scale == "sqrt" else "grey levels",
        )
