"""Preprocessing of features for classifiers: square roots, and scaling fitted block by block."""

from typing import TYPE_CHECKING

import numpy as np

from fakeprint.blocks import Rows

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


def rooted(x: np.ndarray) -> np.ndarray:
    """Square roots with the sign kept, float32 (n, D), so that distances of histograms are Hellinger distances."""
    return np.copysign(np.sqrt(np.abs(x, dtype=np.float32)), x)


def as_fitted(rows: Rows, scale: str) -> Rows:
    """The rows as the pipeline of a classifier with this `scale` takes them: their square roots, if it says so."""
    return rows.then(rooted) if scale.startswith("sqrt") else rows


def fitted_scaler(rows: Rows) -> "StandardScaler":
    """scikit-learn's StandardScaler, fitted on rows (N, D) block by block, with sums in float64."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for _, block in rows.blocks():
        scaler.partial_fit(block)
    return scaler
