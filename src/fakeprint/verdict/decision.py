"""The decision: what turns a model's probabilities into an answer, in one file beside the model.

`decision.json` in the champion's folder holds its calibration, the threshold of the score with its certificate, the
thresholds of the sets, and what all this was fitted on. The stage `decide` writes it; whatever answers for the champion
reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from scipy.special import expit

from fakeprint.errors import InputError
from fakeprint.files import read_json
from fakeprint.verdict import calibration
from fakeprint.verdict.calibration import Calibration
from fakeprint.verdict.certificate import NEVER, Certificate
from fakeprint.verdict.conformal import ConformalSets
from fakeprint.verdict.largest_probability import OF_PROBABILITIES, max_probability, of_probabilities

FILE = "decision.json"
LABEL: Final = "label"
UNSURE: Final = "unsure"
UNKNOWN: Final = "unknown"
# Added to the threshold of `unknown`: a probability that equals the certificate's is answered, however it is rounded
ROUNDING: Final = 1e-9
Kind = Literal["label", "unsure", "unknown"]


@dataclass(frozen=True)
class Unknown:
    """When an image is taken to be of no known class: its score of this name is above the threshold.

    score: one of `verdict.unknown.SCORES`; that of `max_probability` is −ln(p / (1 − p)) of the largest calibrated
    probability. false_alarms: the share of validation images above thresholds chosen without them, where known.
    """

    score: str
    threshold: float
    false_alarms: float | None = None

    def calls(self, scores: np.ndarray) -> np.ndarray:
        """Whether images are called unknown: scores float (N,) → bool (N,)."""
        return scores > self.threshold + ROUNDING


@dataclass(frozen=True)
class Answer:
    """The answer to one image.

    answer: label, unsure or unknown. label: index of the most probable class, whatever the answer. probabilities:
    float64 (C,), calibrated. score: the largest of them. classes: indices of the conformal set, in order; None where
    there are no sets. reason: in words, on one line.
    """

    answer: Kind
    label: int
    probabilities: np.ndarray
    score: float
    classes: list[int] | None
    reason: str

    def as_json(self, classes: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        """As JSON holds it: answer, class, name, score, set, reason and probabilities (class → number).

        classes, names: of the C classes.
        """
        return {
            "answer": self.answer,
            "class": classes[self.label],
            "name": names[self.label],
            "score": self.score,
            "set": None if self.classes is None else [classes[each] for each in self.classes],
            "reason": self.reason,
            "probabilities": dict(zip(classes, self.probabilities.tolist(), strict=True)),
        }


@dataclass(frozen=True)
class Decision:
    """How answers are given.

    calibration: of the model's probabilities. certificate: threshold and bound; None for a model that nothing was
    decided for, whose every image gets its label. sets: None likewise. consistency: whether variants of an image must
    agree. unknown: None if no image is called unknown. fitted_on: data, split, images, groups, model, for reports.
    """

    calibration: Calibration
    certificate: Certificate | None = None
    sets: ConformalSets | None = None
    consistency: bool = False
    unknown: Unknown | None = None
    fitted_on: dict[str, Any] = field(default_factory=dict)

    @property
    def may_decline(self) -> bool:
        """Whether any image can be answered other than with its label."""
        certified = self.certificate is not None and self.certificate.threshold is not None
        return certified or self.consistency or self.unknown is not None

    @property
    def threshold(self) -> float:
        """The score from which a label is given; 0 where none could be certified."""
        certified = self.certificate.threshold if self.certificate else None
        return 0.0 if certified is None else certified

    def answered(self, probabilities: np.ndarray, consistent: np.ndarray | None = None) -> np.ndarray:
        """Whether images get their label, bool (N,).

        probabilities: float (N, C), calibrated. consistent: bool (N,), whether their variants agree; None for all.
        """
        return (scores(probabilities, consistent) >= self.threshold) & ~self.called_unknown(probabilities)

    def called_unknown(self, probabilities: np.ndarray) -> np.ndarray:
        """Whether images are called unknown, bool (N,), by a score that their probabilities give; else none is.

        probabilities: float (N, C), calibrated.
        """
        if self.unknown is None or self.unknown.score not in OF_PROBABILITIES:
            return np.zeros(len(probabilities), dtype=bool)
        return self.unknown.calls(max_probability(of_probabilities(probabilities)))

    def answers(
        self,
        probabilities: np.ndarray,
        names: Sequence[str],
        variants: np.ndarray | None = None,
        unknown_scores: np.ndarray | None = None,
    ) -> list[Answer]:
        """The answers to N images.

        Args:
            probabilities: float (N, C), of the model, not calibrated.
            names: of the C classes, for the reasons.
            variants: float (N, V, C), the model's probabilities of each image's variants; needed for `consistency`.
            unknown_scores: float (N,), the scores that `unknown` names; needed where it is set to a score that the
                probabilities do not give.

        Raises:
            ValueError: what `consistency` or `unknown` needs is missing.
        """
        if self.consistency and variants is None:
            raise ValueError("this decision needs the probabilities of variants")
        calibrated = self.calibration(probabilities)
        if self.unknown and unknown_scores is None:
            if self.unknown.score not in OF_PROBABILITIES:
                raise ValueError(f"this decision needs the score {self.unknown.score}")
            unknown_scores = max_probability(of_probabilities(calibrated))
        labels = calibrated.argmax(axis=1)
        others = _other_labels(self.calibration, labels, variants if self.consistency else None)
        sets = self.sets(calibrated) if self.sets else None
        found = []
        for row, (label, given) in enumerate(zip(labels.tolist(), calibrated, strict=True)):
            unknown_score = float(unknown_scores[row]) if self.unknown and unknown_scores is not None else None
            answer, reason = self._answer(float(given[label]), others[row], unknown_score, names)
            classes = None if sets is None else np.flatnonzero(sets[row]).tolist()
            found.append(Answer(answer, label, given, float(given[label]), classes, reason))
        return found

    def _answer(
        self, score: float, other: int | None, unknown_score: float | None, names: Sequence[str]
    ) -> tuple[Kind, str]:
        """One answer with its reason. other: the label of a variant that disagrees."""
        if self.unknown and unknown_score is not None and self.unknown.calls(np.array([unknown_score]))[0]:
            return UNKNOWN, _why_unknown(self.unknown, unknown_score)
        if other is not None:
            return UNSURE, f"a variant of the image is answered {names[other]}"
        if self.certificate is None:
            return LABEL, "the most probable class; there is no decision file for this model"
        if self.certificate.threshold is None:
            return LABEL, f"the most probable class; no threshold is certified: {self.certificate.short_line}"
        if self.certificate.threshold == 0:
            return LABEL, f"answered at any score: {self.certificate.claim}"
        shown = _shown(score, self.certificate.threshold)
        if score >= self.certificate.threshold:
            return LABEL, f"{shown} is at least {self.certificate.threshold:g}, from which {self.certificate.claim}"
        return UNSURE, f"{shown} is below {self.certificate.threshold:g}, from which {self.certificate.claim}"

    def as_json(self) -> dict[str, Any]:
        """The content of decision.json, which `from_json` reads."""
        return {
            "fitted_on": self.fitted_on,
            "calibration": self.calibration.as_json(),
            "certificate": self.certificate.as_json() if self.certificate else None,
            "sets": self.sets.as_json() if self.sets else None,
            "consistency": self.consistency,
            "unknown": vars(self.unknown) if self.unknown else None,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Decision":
        """Raises KeyError, TypeError or ValueError for content that `as_json` did not give."""
        certificate, sets, unknown = content["certificate"], content["sets"], content["unknown"]
        return cls(
            calibration.load(content["calibration"]),
            Certificate(**certificate) if certificate else None,
            ConformalSets(**sets) if sets else None,
            content["consistency"],
            Unknown(**unknown) if unknown else None,
            content["fitted_on"],
        )


def scores(probabilities: np.ndarray, consistent: np.ndarray | None = None) -> np.ndarray:
    """The largest probability, float (N,), or `NEVER` where variants disagree. Arguments as of `Decision.answered`."""
    largest = probabilities.max(axis=1)
    return largest if consistent is None else np.where(consistent, largest, NEVER)


def _other_labels(calibrated: Calibration, labels: np.ndarray, variants: np.ndarray | None) -> list[int | None]:
    """For each image the label of its first variant that disagrees, or None."""
    if variants is None:
        return [None] * len(labels)
    images, count, classes = variants.shape
    of_variants = calibrated(variants.reshape(images * count, classes)).argmax(axis=1).reshape(images, count)
    differs = of_variants != labels[:, None]
    first = of_variants[np.arange(images), differs.argmax(axis=1)]
    return [int(label) if any_differs else None for label, any_differs in zip(first, differs.any(axis=1), strict=True)]


def _shown(score: float, threshold: float) -> str:
    """The score with at least two decimals, cut off rather than rounded: 0.9299 is not shown as 0.93."""
    digits = max(2, -int(Decimal(f"{threshold:g}").as_tuple().exponent))
    return str(Decimal(repr(score)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_DOWN))


def _why_unknown(unknown: Unknown, score: float) -> str:
    if unknown.score in OF_PROBABILITIES:
        return f"{expit(-score):.2g} is below {expit(-unknown.threshold):.2g}, as for few images of known classes"
    return f"{unknown.score} {score:.4g} is above {unknown.threshold:.4g}"


def load_decision(folder: Path) -> Decision:
    """The decision for a model's folder.

    That of models/champion, or of a folder like it, is in its decision.json. For models/NAME without one it is the
    calibration of models/calibration/NAME.json, as far as there is one, and no threshold.

    Raises:
        InputError: one of these files is damaged.
    """
    own, fitted = folder / FILE, folder.parent / "calibration" / f"{folder.name}.json"
    return read_decision(own if own.exists() else None, fitted if fitted.exists() else None)


def read_decision(decided: Path | None, calibrated: Path | None) -> Decision:
    """The decision that these files give: a decision.json, else the calibration in the second file, else none.

    Raises:
        InputError: the file is damaged.
    """
    file = decided or calibrated
    if file is None:
        return Decision(calibration.Raw())
    try:
        content = read_json(file)
        return Decision.from_json(content) if decided else Decision(calibration.load(content["calibration"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wrong = f"no {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{file} is damaged or of another version ({wrong}); `dvc repro` writes it anew") from None
