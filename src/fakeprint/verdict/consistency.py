"""What it buys to answer only images whose variants agree: against a plain threshold that answers as many."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from fakeprint.evaluation.predictions import Predictions
from fakeprint.verdict.decision import Decision


@dataclass(frozen=True)
class Gain:
    """Errors among equally many answers, chosen with and without variants.

    disagree: share of the images whose variants disagree. answered: images that the decision answers. error: share of
    those that are wrong. plain_error: the same of as many images with the highest scores, whatever their variants.
    gain: plain_error − error. low, high: its interval; None with fewer than two groups.
    """

    disagree: float
    answered: int
    error: float
    plain_error: float
    gain: float
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, Any]:
        """The numbers, rounded to 6 digits; without an interval low and high are left out."""
        return {key: round(value, 6) for key, value in asdict(self).items() if value is not None}


def gain_at_equal_coverage(
    decision: Decision, known: Predictions, consistent: np.ndarray, confidence: float
) -> Gain | None:
    """Compare the two ways on labelled images; None if no image is answered.

    The interval is for a paired difference, the images being the same: from its variance over groups, by Student's t.

    Args:
        decision: with a threshold; whether it asks for consistency does not matter here.
        known: calibrated predictions.
        consistent: bool (N,), whether the variants of each image agree with it.
        confidence: of the interval, in (0, 1).
    """
    answered = decision.answered(known.probabilities, consistent)
    count = int(answered.sum())
    if not count:
        return None
    plain = np.zeros(len(answered), dtype=bool)
    plain[np.argsort(-known.probabilities.max(axis=1), kind="stable")[:count]] = True
    wrong = ~known.correct
    _, group = np.unique(known.groups, return_inverse=True)
    differences = np.bincount(group, weights=(plain & wrong).astype(float) - (answered & wrong)) / count
    groups, gain = len(differences), float(differences.sum())
    low = high = None
    if groups > 1:
        error = float(np.sqrt(groups / (groups - 1) * np.sum((differences - differences.mean()) ** 2)))
        reach = float(stdtrit(groups - 1, 0.5 + confidence / 2)) * error
        low, high = gain - reach, gain + reach
    return Gain(
        float(1 - consistent.mean()),
        count,
        float(wrong[answered].mean()),
        float(wrong[plain].mean()),
        gain,
        low,
        high,
    )
