"""Preprocessing of features for classifiers: square roots, and scaling fitted block by block."""

import numpy as np
from sklearn.preprocessing import StandardScaler

from fakeprint.blocks import Rows


def rooted(x: np.ndarray) -> np.ndarray:
    """Square roots with the sign kept, float32 (n, D), so that distances of histograms are Hellinger distances."""
    return np.copysign(np.sqrt(np.abs(x, dtype=np.float32)), x)


def fitted_scaler(rows: Rows) -> StandardScaler:
    """scikit-learn's StandardScaler, fitted on rows (N, D) block by block, with sums in float64."""
    scaler = StandardScaler()
    for _, block in rows.blocks():
        scaler.partial_fit(block)
    return scaler
