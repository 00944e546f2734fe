"""The champion's decision: made from its predictions of validation, and checked on every set of labelled images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from scipy.special import logit

from fakeprint import params
from fakeprint.evaluation.predictions import Predictions
from fakeprint.verdict import conformal
from fakeprint.verdict.calibration import Calibration
from fakeprint.verdict.certificate import Certificate, certify, lower_bound, one_per_group, upper_bound
from fakeprint.verdict.conformal import SetFigures, set_figures
from fakeprint.verdict.consistency import Gain, gain_at_equal_coverage
from fakeprint.verdict.decision import Decision, Unknown, scores
from fakeprint.verdict.largest_probability import max_probability, of_probabilities
from fakeprint.verdict.selective import Selected, area, risk_coverage, selected
from fakeprint.verdict.separation import FALSE_ALARMS, cross_fitted_false_alarms, known_threshold

VALIDATION, TEST = "validation", "test"
HOLDS: Final = "holds"
BROKEN: Final = "does not hold"
OPEN: Final = "cannot tell"
NOTHING: Final = "no answers"
MOST = 1000.0  # log-odds that stand for a probability of 0, which JSON has no infinity for
FOLDS = 5  # of the false alarms of `unknown`
Outcome = Literal["holds", "does not hold", "cannot tell", "no answers"]


@dataclass(frozen=True)
class Images:
    """Labelled images with the champion's calibrated predictions; consistent: bool (N,), or None without variants."""

    predictions: Predictions
    consistent: np.ndarray | None = None


@dataclass(frozen=True)
class Checked:
    """How a decision does on one set of images.

    selected: coverage and error at the threshold. area: under the risk–coverage curve. sets: their figures. bounds: of
    the error rate of the answers, one image per group, one-sided at the certificate's confidence. outcome: "holds" if
    the upper bound is at most `max_error`, "does not hold" if the lower bound is above it, else "cannot tell"; "no
    answers" if no image is answered. unknown: share of images that are called unknown; None where
    the decision calls none so.
    """

    selected: Selected
    area: float
    sets: SetFigures
    bounds: tuple[float, float]
    outcome: Outcome
    unknown: float | None = None

    def as_json(self, names: list[str]) -> dict[str, Any]:
        """Nested numbers, and the outcome. names: of the C classes."""
        low, high = self.bounds
        return {
            "outcome": self.outcome,
            "error_bounds": {"lower": round(low, 6), "upper": round(high, 6)},
            "aurc": round(self.area, 6),
            **self.selected.as_json(names),
            **({} if self.unknown is None else {"unknown": round(self.unknown, 6)}),
            "sets": self.sets.as_json(names),
        }


def decide(
    settings: params.Decide, calibration: Calibration, images: Images, fitted_on: Mapping[str, Any], seed: int
) -> Decision:
    """Make the decision.

    Args:
        settings: the block `decide`.
        calibration: the one for new images, fitted on all images available to it.
        images: validation, with probabilities from calibrations that were fitted without them.
        fitted_on: data, split and model, for reports; the numbers of images and groups are added.
        seed: params.seed.
    """
    known = images.predictions
    certificate = certify(
        scores(known.probabilities, images.consistent if settings.consistency else None),
        known.correct,
        known.groups,
        settings.max_error,
        settings.confidence,
        seed,
    )
    sets = conformal.fit(known.probabilities, known.labels, known.groups, settings.set_error, seed)
    counts = {"images": len(known.labels), "groups": len(np.unique(known.groups))}
    unknown = unknown_of(settings, known, certificate, seed)
    return Decision(calibration, certificate, sets, settings.consistency, unknown, {**fitted_on, **counts})


def unknown_of(settings: params.Decide, known: Predictions, certificate: Certificate, seed: int) -> Unknown | None:
    """When an image is called unknown: as rarely as 5 % of the images of known classes are, at most.

    An image that the certificate answers is never called unknown, so that the certificate stays what it is. None where
    `decide.unknown` is none.
    """
    if settings.unknown == "none":
        return None
    values = max_probability(of_probabilities(known.probabilities))
    lowest = -np.inf
    if certificate.threshold is not None:
        lowest = float(np.clip(-logit(certificate.threshold), -MOST, MOST))
    folds = min(FOLDS, len(np.unique(known.groups)))
    alarms = cross_fitted_false_alarms(values, known.groups, folds, FALSE_ALARMS, seed, lowest) if folds > 1 else None
    return Unknown(settings.unknown, max(lowest, known_threshold(values)), alarms)


def check(
    decision: Decision, images: Images, confidence: float, seed: int, cross_fitted: np.ndarray | None = None
) -> Checked:
    """Coverage, errors and sets on a set of labelled images, at least one.

    Args:
        decision: from `decide`, with a certificate and sets.
        images: of the same classes.
        confidence: of the intervals.
        seed: params.seed, of the draw of one image per group.
        cross_fitted: bool (N, C), sets to score in place of the decision's own, which the same images chose.
    """
    known, consistent = images.predictions, images.consistent if decision.consistency else None
    answered = decision.answered(known.probabilities, consistent)
    sets = cross_fitted if cross_fitted is not None else _sets_of(decision)(known.probabilities)
    rows = one_per_group(known.groups, seed)
    given, wrong = int(answered[rows].sum()), int((answered & ~known.correct)[rows].sum())
    certificate = _certificate_of(decision)
    low, high = (
        float(bound(np.array(wrong), np.array(given), certificate.confidence)) for bound in (lower_bound, upper_bound)
    )
    outcome: Outcome = OPEN
    if not given:
        outcome = NOTHING
    elif high <= certificate.max_error or low > certificate.max_error:
        outcome = HOLDS if high <= certificate.max_error else BROKEN
    return Checked(
        selected(known.probabilities, known.labels, answered, known.groups, confidence),
        area(scores(known.probabilities, consistent), known.correct),
        set_figures(sets, known.labels, known.groups, confidence),
        (low, high),
        outcome,
        float(decision.called_unknown(known.probabilities).mean()) if decision.unknown else None,
    )


def check_all(decision: Decision, images: Mapping[str, Images], confidence: float, seed: int) -> dict[str, Checked]:
    """`check` on every set of images by name; the sets of validation's images are by thresholds chosen without them."""
    checked = {}
    for name, each in images.items():
        known = each.predictions
        own = (
            conformal.cross_fitted(known.probabilities, known.labels, known.groups, _sets_of(decision).error, seed)
            if name == VALIDATION
            else None
        )
        checked[name] = check(decision, each, confidence, seed, own)
    return checked


def figures(
    decision: Decision, checked: Mapping[str, Checked], names: list[str], gain: Gain | None = None
) -> dict[str, Any]:
    """The content of metrics/decision.json. names: of the C classes. gain: of consistency, where it is on."""
    certificate = _certificate_of(decision)
    return {
        "model": decision.fitted_on.get("model"),
        "certificate": {**certificate.as_json(), "line": certificate.line},
        "images": {name: each.as_json(names) for name, each in checked.items()},
        **({"consistency": gain.as_json()} if gain else {}),
        **({"unknown": vars(decision.unknown)} if decision.unknown else {}),
    }


def gain_of(decision: Decision, images: Images, confidence: float) -> Gain | None:
    """What consistency buys at equal coverage on these images; None where the decision does not ask for it."""
    if not decision.consistency or images.consistent is None:
        return None
    return gain_at_equal_coverage(decision, images.predictions, images.consistent, confidence)


def curves(images: Mapping[str, Images], decision: Decision) -> pd.DataFrame:
    """Risk–coverage curves of all sets of images: columns images, score, coverage and risk."""
    return pd.concat(
        risk_coverage(
            scores(each.predictions.probabilities, each.consistent if decision.consistency else None),
            each.predictions.correct,
        ).assign(images=name)[["images", "score", "coverage", "risk"]]
        for name, each in images.items()
    )


def _certificate_of(decision: Decision) -> Certificate:
    if decision.certificate is None:
        raise ValueError("the decision has no certificate")
    return decision.certificate


def _sets_of(decision: Decision) -> conformal.ConformalSets:
    if decision.sets is None:
        raise ValueError("the decision has no sets")
    return decision.sets
