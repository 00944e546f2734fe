"""The one score of unknown images that needs probabilities alone. Imports little, because every answer needs it."""

import numpy as np
from scipy.special import logsumexp

OF_PROBABILITIES = ("max_probability",)  # names of scores that this module computes
LEAST = 1e-300  # of a probability, whose logarithm is taken


def max_probability(logits: np.ndarray) -> np.ndarray:
    """Minus the log-odds of the largest softmax probability, ln((1 − p) / p), float64 (N,), at most ln(C − 1).

    It orders images as −p does (Hendrycks and Gimpel 2017), those too whose p rounds to 1.
    """
    ordered = np.sort(np.asarray(logits, np.float64), axis=1)
    return np.asarray(logsumexp(ordered[:, :-1], axis=1)) - ordered[:, -1]


def of_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Log-probabilities, float64 (N, C), that stand for logits; those of 0 are finite."""
    return np.log(np.maximum(probabilities, LEAST))
