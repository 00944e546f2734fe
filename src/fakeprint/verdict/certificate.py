"""The score from which answers are given, with a bound on how many of them are wrong.

An image is answered if its score, the largest calibrated probability, is at least a threshold. Choosing the threshold
with the fewest errors among many, and then bounding its errors as if it had been the only one, breaks the bound. Here
the thresholds are fixed in advance and tested in a fixed order, from the highest down, until the first fails: then the
level of one test is that of the whole sequence (fixed-sequence testing: Maurer, Hothorn & Lehmacher 1995; for risks of
a classifier: Angelopoulos et al. 2021, "Learn then Test", arXiv 2110.01052).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import betaincinv  # `scipy.stats` takes a second to import

from fakeprint import seeds

# Every image is answered at 0; the upper ones are for models whose probabilities are close to 1.
THRESHOLDS = np.array(
    [0.999999, 0.99999, 0.9999, 0.9998, 0.9995, *np.arange(999, 990, -1) / 1000, *np.arange(99, -1, -1) / 100]
)
AT_START = 5  # errors that the first test allows, if so many images leave half of all for further tests
NEVER = -1.0  # the score of an image that no threshold answers


@dataclass(frozen=True)
class Certificate:
    """What `certify` found.

    threshold: answers are given to images with at least this score, in [0, 1]; None if no threshold could be certified.
    images: tested, one per group. answered, errors: how many of them have at least the threshold's score, and how many
    of those are wrong; without a threshold, those of the first one tested, and 0 if none was. bound: the upper bound of
    the error rate that belongs to them, in [0, 1]. max_error, confidence: as given.
    """

    threshold: float | None
    images: int
    answered: int
    errors: int
    bound: float
    max_error: float
    confidence: float

    def as_json(self) -> dict[str, Any]:
        """The fields, which `Certificate(**content)` takes."""
        return asdict(self)

    @property
    def claim(self) -> str:
        """What is certified, in words: "at most 2 % of answers are wrong (95 % confidence)"."""
        return f"at most {percent(self.max_error)} of answers are wrong ({percent(self.confidence)} confidence)"

    @property
    def short_line(self) -> str:
        """Why nothing is certified, in few words, for the reason of each answer."""
        return self.line.split(":")[0]

    @property
    def line(self) -> str:
        """The certificate, or why there is none, as one line."""
        confidence = percent(self.confidence)
        if self.threshold is not None:
            scores = f"score of at least {self.threshold:g}" if self.threshold else "any score"
            return (
                f"{scores}: {self.claim}; {self.errors:,} wrong among {self.answered:,} "
                f"answers to {self.images:,} images, bound {percent(self.bound)}"
            )
        start = f"not certifiable with {self.images:,} image{'' if self.images == 1 else 's'}:"
        if not self.answered:
            needed = fewest_images(0, self.max_error, self.confidence)
            return (
                f"{start} at most {percent(self.max_error)} errors with {confidence} confidence need at least "
                f"{needed:,} answered images, all of them right"
            )
        needed = fewest_images(self.errors, self.max_error, self.confidence)
        return (
            f"{start} {self.errors:,} wrong among the {self.answered:,} surest answers, so up to {percent(self.bound)} "
            f"with {confidence} confidence; for {percent(self.max_error)}, {self.errors:,} wrong need at least "
            f"{needed:,} answered images"
        )


def percent(share: float) -> str:
    """A share in [0, 1] as "2.35 %", with at most three digits."""
    return f"{100 * share:.3g} %"


def certify(
    scores: np.ndarray,
    correct: np.ndarray,
    groups: np.ndarray,
    max_error: float,
    confidence: float,
    seed: int,
) -> Certificate:
    """The lowest threshold found such that at most `max_error` of the answers are wrong, with this confidence.

    The unit is the group: one image is drawn from each, because images of a group are not independent. The error rate
    is that of one random image of a new group from the same source, given that its score is at least the threshold.
    The chance that it exceeds `max_error` at the threshold returned is at most 1 − confidence.

    `THRESHOLDS` are tested from the highest down; a threshold passes if the one-sided Clopper–Pearson bound of the
    errors among images with at least its score is at most `max_error`. The last one before the first that fails is
    the result. The first test is at the first threshold with enough images (`images_at_start`): a test of few images
    fails by one unlucky error, and the sequence would end there.

    That this start depends on the data is harmless if surer answers are not wrong more often, more exactly: if
    below the first threshold whose error rate exceeds `max_error`, images of every score are wrong at least at that
    rate. The number of images alone chooses the start. If it is at or above that threshold, the threshold has to pass
    a test at its own rate. If it is below, the images tested are as many of the threshold's as there happen to be,
    and others that are wrong at least at rate `max_error`: passing is then no more likely than with a rate of
    `max_error` throughout. Where the surest answers are wrong more often than the others, this does not hold.

    Args:
        scores: float (N,), in [0, 1], or `NEVER` for images that are not answered at any threshold.
        correct: bool (N,), whether the answer is right; of images that neither the model nor what made its
            probabilities into scores learned from.
        groups: int (N,), equal for images that are not independent.
        max_error: share of the answers, in (0, 1).
        confidence: in (0, 1).
        seed: params.seed, of the draw from each group.
    """
    rows = one_per_group(groups, seed)
    answered, errors = counts(scores[rows], correct[rows])
    bounds = upper_bound(errors, answered, confidence)
    images = len(rows)

    # answered never falls; its last entry leaves out those that are never answered
    start = int(np.searchsorted(answered, images_at_start(int(answered[-1]), max_error, confidence)))
    if start == len(THRESHOLDS):
        return Certificate(None, images, 0, 0, 1.0, max_error, confidence)
    failed = bounds[start:] > max_error
    end = start + int(failed.argmax()) if failed.any() else len(THRESHOLDS)
    at = max(end - 1, start)
    threshold = float(THRESHOLDS[at]) if end > start else None
    return Certificate(threshold, images, int(answered[at]), int(errors[at]), float(bounds[at]), max_error, confidence)


def images_at_start(images: int, max_error: float, confidence: float) -> int:
    """How many images the first threshold tested has to answer, of so many in all.

    Enough to pass with `AT_START` errors, or with as few as half of all images allow; at least enough to pass without.
    On the 1,250 validation images of UniBuc, resampled 150 times, TraceNet's 2 % were certified in 31 % of the samples
    with a start where no error is allowed, in 93 % with up to 2 and in all with up to 3 or 5.
    """
    most = max((count for count in range(AT_START + 1) if fewest_images(count, max_error, confidence) <= images / 2),
               default=0)  # fmt: skip
    return fewest_images(most, max_error, confidence)


def one_per_group(groups: np.ndarray, seed: int) -> np.ndarray:
    """One row of each group, drawn at random: int (G,), in the order of the rows. groups: int (N,)."""
    order = seeds.generator(seed, "decide/one per group").permutation(len(groups))
    return np.sort(order[np.unique(groups[order], return_index=True)[1]])


def counts(scores: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images with at least each of `THRESHOLDS`, and how many of them are wrong: two int (T,).

    scores: float (N,). correct: bool (N,).
    """
    rising = THRESHOLDS[::-1]
    reached = np.searchsorted(rising, scores, side="right")  # thresholds that are not above the score
    of_each = np.bincount(reached, minlength=len(rising) + 1)[1:]
    wrong = np.bincount(reached[~correct], minlength=len(rising) + 1)[1:]
    return of_each[::-1].cumsum(), wrong[::-1].cumsum()


def upper_bound(errors: np.ndarray, images: np.ndarray, confidence: float) -> np.ndarray:
    """One-sided upper bound of an error rate (Clopper & Pearson 1934), in [0, 1]; 1 where there are no images.

    errors, images: int, of one shape. The chance that the rate is above it is at most 1 − confidence.
    """
    errors, images = np.asarray(errors), np.asarray(images)
    return np.where(errors < images, betaincinv(errors + 1, np.maximum(images - errors, 1), confidence), 1.0)


def lower_bound(errors: np.ndarray, images: np.ndarray, confidence: float) -> np.ndarray:
    """One-sided lower bound of an error rate (Clopper & Pearson 1934), in [0, 1]; 0 where there are no errors."""
    errors, images = np.asarray(errors), np.asarray(images)
    return np.where(errors > 0, betaincinv(np.maximum(errors, 1), images - errors + 1, 1 - confidence), 0.0)


def fewest_images(errors: int, max_error: float, confidence: float) -> int:
    """The smallest number of answered images for which so many errors still pass.

    Without errors the smallest n with (1 − max_error)^n ≤ 1 − confidence: 299 for 1 % at 95 %.
    """

    def passes(images: int) -> bool:
        return bool(upper_bound(np.array(errors), np.array(images), confidence) <= max_error)

    least, most = errors, errors + 1
    while not passes(most):
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if passes(middle) else (middle, most)
    return most
