"""Images whose colours are far from the others'."""

import numpy as np

LIMIT = 3.5  # the modified z-score from which Iglewicz and Hoaglin (1993) call a value an outlier
NORMAL = 0.6745  # the median absolute deviation of a normal distribution with standard deviation 1


def colour_scores(sums: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """How far each image's channel means and deviations are from those of most images.

    Args:
        sums: int64 (N, 2, 3), sum and sum of squares of each image's channels, values 0–255.
        pixels: int64 (N,), number of pixels of each.

    Returns:
        float64 (N,): the largest modified z-score of its six figures, 0 or more; above `LIMIT` it is an outlier. A
        figure that does not vary among most images has none.
    """
    means = sums[:, 0] / pixels[:, None]
    deviations = np.sqrt(np.maximum(0.0, sums[:, 1] / pixels[:, None] - means**2))
    figures = np.concatenate([means, deviations], axis=1)
    distances = np.abs(figures - np.median(figures, axis=0))
    typical = np.median(distances, axis=0)
    scores = np.divide(NORMAL * distances, typical, out=np.zeros_like(distances), where=typical > 0)
    highest: np.ndarray = scores.max(axis=1)
    return highest
