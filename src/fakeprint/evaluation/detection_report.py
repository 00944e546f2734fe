"""One model as a detector: its figures with their intervals, and its curves, of each labelled split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fakeprint.evaluation.detection import (
    Curve,
    best_threshold,
    curves,
    decisions_at,
    decisions_on_validation,
    detector_of,
    figures,
)
from fakeprint.evaluation.detection_intervals import intervals
from fakeprint.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Detection:
    """One split. figures: nested numbers, and pairs under `intervals`. curves: see `detection.curves`."""

    figures: dict[str, Any]
    curves: list[Curve]


def detections(
    splits: Mapping[str, Predictions], real: Sequence[int], names: Sequence[str], seed: int, confidence: float
) -> dict[str, Detection]:
    """Real against fake on each split that has labelled images of both; none where no class is real.

    The threshold is fixed on the split `validation`. Its own figure at that threshold is cross-fitted; other splits are
    decided at the one threshold of all validation images.

    Args:
        splits: predictions by the name of their split.
        real: indices of the real classes.
        names: of all classes.
        seed: params.seed, of the folds and the bootstrap.
        confidence: of the intervals.
    """
    known = {split: detector_of(predictions, real, names) for split, predictions in splits.items()} if real else {}
    validation = known.get("validation")
    found = {}
    for split, detector in known.items():
        if detector is None:
            continue
        if detector is validation:
            decisions = decisions_on_validation(detector, seed)
        else:
            decisions = (
                decisions_at(detector, best_threshold(validation.fake, validation.log_odds)) if validation else None
            )
        content = figures(detector, decisions)
        content["intervals"] = intervals(detector, decisions, seed, confidence)
        found[split] = Detection(content, curves(detector, "all images"))
    return found
