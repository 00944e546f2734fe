"""What is done to features before a classifier sees them: square roots, and scaling fitted block by block."""

import numpy as np
from sklearn.preprocessing import StandardScaler

from fakeprint.blocks import Rows


def rooted(x: np.ndarray) -> np.ndarray:
    """Square roots, sign kept, float32 (n, D): histograms then compare as Hellinger's distance does."""
    return np.copysign(np.sqrt(np.abs(x, dtype=np.float32)), x)


def fitted_scaler(rows: Rows) -> StandardScaler:
    """scikit-learn's scaler of rows (N, D); means and variances are summed in float64 over the blocks."""
    scaler = StandardScaler()
    for _, block in rows.blocks():
        scaler.partial_fit(block)
    return scaler
