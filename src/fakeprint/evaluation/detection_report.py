"""One model as a detector: metrics with intervals, and curves, for each labelled split."""

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
    """One split. figures: nested numbers, and pairs under `intervals`. curves: as `detection.curves` gives them."""

    figures: dict[str, Any]
    curves: list[Curve]


def detections(
    splits: Mapping[str, Predictions], real: Sequence[int], names: Sequence[str], seed: int, confidence: float
) -> dict[str, Detection]:
    """Real against fake on each split that has labelled images of both; empty if no class is real.

    The threshold is chosen on the split `validation`. Validation's own figure is cross-fitted; other splits use the one
    threshold of all validation images.

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
