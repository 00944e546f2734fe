"""Real against fake: metrics of a detector, from the probabilities of a classifier with real classes.

The score of an image is the log-odds of being fake; the probability of being fake is the sum over all classes that are
not real. An image is classified as fake if its score is at least the threshold. Images of equal score are treated
together: no metric depends on the order of the images, and a constant score has an AUC of 0.5.

Every metric is computed for many weightings of the images in one call, one column of weights for each resample of a
bootstrap; weights of one give the metric itself. The real images are sorted once, and each generator's images are
looked up among them, so the cost grows with the images and not with the number of generators.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import expit, logit

from fakeprint import seeds
from fakeprint.evaluation.predictions import Predictions
from fakeprint.folds import group_folds

MOST = 1000.0  # largest log-odds, for a probability of 1; ln(10^-308) is the smallest that occurs
RATES = {"tpr_at_1_percent_fpr": 0.01, "tpr_at_5_percent_fpr": 0.05}  # fixed false positive rates
FOLDS = 5  # of cross-fitting
MOST_CURVES = 10  # generators with a curve of their own
CROSS_FITTED = "balanced_accuracy_cross_fitted"
AT_VALIDATION_THRESHOLD = "balanced_accuracy_at_validation_threshold"

Figures = dict[str, Any]  # str → float64 (B,), or a dict of such


@dataclass(frozen=True)
class Detector:
    """The labelled images of one split as real or fake, and one model's scores of them.

    fake: bool (N,), at least one image of each kind. log_odds: float64 (N,), see `fake_log_odds`.
    groups: int64 (N,), equal for images that are not independent. generators: object (N,), the name of each image's
    generator, or None.
    """

    fake: np.ndarray
    log_odds: np.ndarray
    groups: np.ndarray
    generators: np.ndarray

    @property
    def names(self) -> list[str]:
        """Names of the generators of the fake images, sorted."""
        return sorted({name for name in self.generators[self.fake] if name is not None})

    def against(self, generator: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a generator's fake images, and of the real images they are compared with: int64 (F,), (R,).

        These are the real images with the generator's name, or all real images if there are none.
        """
        named = self.generators == generator
        own = np.flatnonzero(named & ~self.fake)
        return np.flatnonzero(named & self.fake), own if len(own) else np.flatnonzero(~self.fake)


@dataclass(frozen=True)
class Decisions:
    """Images classified as fake at a threshold that was chosen on validation images, and the name of the metric.

    threshold: log-odds, chosen on all validation images. predicted_fake: bool (N,). key: CROSS_FITTED if the images are
    the validation images themselves, AT_VALIDATION_THRESHOLD otherwise.
    """

    threshold: float
    predicted_fake: np.ndarray
    key: str


def detector_of(predictions: Predictions, real: Sequence[int], names: Sequence[str]) -> Detector | None:
    """The labelled images as real or fake; None unless the split has both.

    Generators are those that the source names. If it names none for any fake image, every fake class is a generator,
    provided there are several.

    Args:
        predictions: of one split; images without label are left out.
        real: indices of the real classes.
        names: of all C classes.
    """
    labelled = predictions.labels >= 0
    labels, probabilities = predictions.labels[labelled], predictions.probabilities[labelled]
    is_real = np.zeros(len(names), dtype=bool)
    is_real[list(real)] = True
    fake = ~is_real[labels]
    if fake.all() or not fake.any():
        return None
    generators = predictions.generators[labelled]
    if all(name is None for name in generators[fake]) and np.count_nonzero(~is_real) > 1:
        generators = np.array([*names, None], dtype=object)[np.where(fake, labels, -1)]
    return Detector(fake, fake_log_odds(probabilities, is_real), predictions.groups[labelled], generators)


def fake_log_odds(probabilities: np.ndarray, is_real: np.ndarray) -> np.ndarray:
    """ln(P(fake) / P(real)), each the sum over its classes, float64 (N,) in ±1,000.

    Probabilities that round to 1 keep their order through the small probabilities of the other side. Values are rounded
    to 9 decimals, since equal ones may differ by rounding errors.

    probabilities: float64 (N, C). is_real: bool (C,).
    """
    sums = np.stack([probabilities[:, ~is_real].sum(axis=1), probabilities[:, is_real].sum(axis=1)])
    fake, real = np.log(sums, out=np.full(sums.shape, -MOST), where=sums > 0)
    return np.round(np.clip(fake - real, -MOST, MOST), 9)


# --- thresholds


def best_threshold(fake: np.ndarray, log_odds: np.ndarray) -> float:
    """The log-odds at which balanced accuracy is largest; of several the one nearest to 0.

    Halfway between the probabilities of two images, or between their log-odds if the probabilities are equal.

    fake: bool (N,), with both values. log_odds: float (N,).
    """
    from sklearn.metrics import roc_curve  # takes a second to import; most data have no real class

    fpr, tpr, at = roc_curve(fake, log_odds, drop_intermediate=False)
    above, below = at[1:-1], at[2:]  # at[0] is infinite: no image counts as fake
    middle = logit((expit(above) + expit(below)) / 2)
    between = np.where((below < middle) & (middle < above), middle, (below + above) / 2)
    thresholds = np.append(between, -MOST)
    gained = (tpr - fpr)[1:]
    best = thresholds[gained >= gained.max() - 1e-12]
    return float(best[np.abs(best).argmin()])


def decisions_on_validation(detector: Detector, seed: int) -> Decisions | None:
    """Decisions on the validation images, on which the threshold is chosen too.

    Each fold is decided at the threshold with the largest balanced accuracy on the other folds: a threshold chosen on
    the same images would make the figure too high. Folds keep groups together and the shares of real and fake images,
    and are the same for every model. None if all real or all fake images are one group.
    """
    rng = seeds.generator(seed, "evaluate/detection/folds")
    fold = group_folds(detector.fake, detector.groups, FOLDS, rng)
    predicted_fake = np.zeros(len(detector.fake), dtype=bool)
    for number in range(FOLDS):
        held_out = fold == number
        fake, log_odds = detector.fake[~held_out], detector.log_odds[~held_out]
        if fake.all() or not fake.any():
            return None
        predicted_fake[held_out] = detector.log_odds[held_out] >= best_threshold(fake, log_odds)
    return Decisions(best_threshold(detector.fake, detector.log_odds), predicted_fake, CROSS_FITTED)


def kinds(detector: Detector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The group of each image, int64 (N,) from 0 to G − 1, and the kind and number of images of each group, int64 (G,).

    Kinds: 0 for real images, 1 for fake ones, 2 for both.
    """
    _, group, size = np.unique(detector.groups, return_inverse=True, return_counts=True)
    fakes = np.bincount(group, weights=detector.fake)
    return group, np.where(fakes == 0, 0, np.where(fakes == size, 1, 2)), size


def decisions_at(detector: Detector, threshold: float) -> Decisions:
    """Decisions on images other than those on which the threshold was chosen."""
    return Decisions(threshold, detector.log_odds >= threshold, AT_VALIDATION_THRESHOLD)


# --- figures


def figures(detector: Detector, decisions: Decisions | None) -> dict[str, Any]:
    """The metrics of one split, for `detection` in `metrics/MODEL/evaluate.json`.

    Those of `weighted_figures`, and the numbers of images; `validation_threshold` is the threshold of the decisions as
    a probability and as log-odds. What cannot be computed is left out.
    """
    content = _first(weighted_figures(detector, decisions, np.ones((len(detector.fake), 1))))
    for name, of_generator in content.get("generators", {}).items():
        own, against = detector.against(name)
        content["generators"][name] = {"fake_images": len(own), "real_images": len(against), **of_generator}
    return {
        "fake_images": int(np.count_nonzero(detector.fake)),
        "real_images": int(np.count_nonzero(~detector.fake)),
        **({"validation_threshold": _both_ways(decisions.threshold)} if decisions else {}),
        **content,
    }


def _both_ways(log_odds: float) -> dict[str, float]:
    return {"probability": float(expit(log_odds)), "log_odds": log_odds}


def _first(figures: Figures) -> dict[str, Any]:
    return {key: _first(values) if isinstance(values, dict) else float(values[0]) for key, values in figures.items()}


def weighted_figures(detector: Detector, decisions: Decisions | None, weights: np.ndarray) -> Figures:
    """Every figure under every weighting of the images; NaN where real or fake images have no weight in all.

    auc: area under the ROC curve. average_precision: of fake images, as scikit-learn defines it; it depends on the
    share of fake images in the data. balanced_accuracy, recall_of_real, recall_of_fake: at the threshold 0.5.
    balanced_accuracy_…: at the threshold fixed on validation images. tpr_at_…, eer: see `_of_curve`. generators: of
    each one's images against real images, see `Detector.against`; recall and balanced accuracy at the threshold 0.5.
    generator_mean: the means over generators, each counting as one.

    weights: float64 (N, B), not negative, one column for each weighting.
    """
    fake, real = np.flatnonzero(detector.fake), np.flatnonzero(~detector.fake)
    scores, right = detector.log_odds, (detector.log_odds >= 0) == detector.fake
    ranked = _Ranked.of(scores[real], weights[real])
    figures: Figures = {
        **_of_curve(scores[fake], weights[fake], ranked),
        "recall_of_real": _share(right, real, weights),
        "recall_of_fake": _share(right, fake, weights),
    }
    figures["balanced_accuracy"] = (figures["recall_of_real"] + figures["recall_of_fake"]) / 2
    if decisions:
        decided = decisions.predicted_fake == detector.fake
        figures[decisions.key] = (_share(decided, real, weights) + _share(decided, fake, weights)) / 2
    generators = {}
    for name in detector.names:
        own, against = detector.against(name)
        others = ranked if len(against) == len(real) else _Ranked.of(scores[against], weights[against])
        recall = _share(right, own, weights)
        balanced = (recall + _share(right, against, weights)) / 2
        of_curve = _of_curve(scores[own], weights[own], others)
        generators[name] = {"recall": recall, "balanced_accuracy": balanced, **of_curve}
    if generators:
        figures["generators"] = generators
        keys = next(iter(generators.values()))
        figures["generator_mean"] = {key: _mean([own[key] for own in generators.values()]) for key in keys}
    return figures


def weighted_area(detector: Detector, weights: np.ndarray) -> np.ndarray:
    """Only the AUC of `weighted_figures`, float (B,)."""
    fake, real = np.flatnonzero(detector.fake), np.flatnonzero(~detector.fake)
    scores, ranked = detector.log_odds, _Ranked.of(detector.log_odds[real], weights[real])
    above = ranked.at(scores[fake], "right") + ranked.at(scores[fake], "left")
    pairs = weights[fake].sum(axis=0) * ranked.above[0]
    return 1 - _ratio(np.einsum("fb,fb->b", weights[fake], above) / 2, pairs)


@dataclass(frozen=True)
class _Ranked:
    """Scores of real images, ascending float (R,), and the weight at or above each place, float (R + 1, B)."""

    scores: np.ndarray
    above: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, weights: np.ndarray) -> "_Ranked":
        order = np.argsort(scores, kind="stable")
        above = np.zeros((len(scores) + 1, weights.shape[1]))
        np.cumsum(weights[order[::-1]], axis=0, out=above[-2::-1])
        return cls(scores[order], above)

    def at(self, thresholds: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
        """Weight of the real images at or above each threshold ("left"), or above it ("right"), float (T, B)."""
        return self.above[np.searchsorted(self.scores, thresholds, side=side)]


def _of_curve(scores: np.ndarray, weights: np.ndarray, real: _Ranked) -> dict[str, np.ndarray]:
    """The figures of the ROC curve, each float (B,).

    tpr_at_…: the largest true positive rate of all thresholds whose false positive rate is at most 1 or 5 %; none
    between images of one score, so with fewer than 100 real images that at 1 % has no false positive at all. eer: where
    false positive and false negative rate cross, on straight lines between neighbouring thresholds.

    scores: float (F,), of fake images. weights: float (F, B).
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    thresholds = scores[order][starts]
    of_each = np.add.reduceat(weights[order], starts, axis=0)
    found = np.cumsum(of_each, axis=0)
    above, at_or_above = real.at(thresholds, "right"), real.at(thresholds, "left")
    fakes, reals = found[-1], real.above[0]
    present = (fakes > 0) & (reals > 0)
    fakes, reals = np.where(present, fakes, 1.0), np.where(present, reals, 1.0)
    precision = np.divide(found, found + at_or_above, out=np.zeros_like(found), where=found > 0)
    figures = {
        "auc": 1 - np.einsum("tb,tb->b", of_each, above + at_or_above) / (2 * fakes * reals),
        "average_precision": np.einsum("tb,tb->b", of_each, precision) / fakes,
        **{
            key: np.einsum("tb,tb->b", of_each, at_or_above <= rate * reals + 1e-9) / fakes
            for key, rate in RATES.items()
        },
        "eer": _equal_error_rate(above / reals, at_or_above / reals, 1 - found / fakes),
    }
    return {key: np.where(present, values, np.nan) for key, values in figures.items()}


def _equal_error_rate(above: np.ndarray, at_or_above: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Where FPR = FNR, float (B,), on the ROC curve through the corners just before and at each fake score.

    above, at_or_above: FPR without and with the real images of that score. missed: FNR with its fake ones. Each (T, B).
    """
    shape = (2 * len(missed) + 1, missed.shape[1])
    fpr, fnr = np.ones(shape), np.ones(shape)
    fpr[0:-1:2], fpr[1:-1:2] = above, at_or_above
    fnr[1:-1:2], fnr[2::2] = missed, missed
    after = np.maximum((fpr >= fnr).argmax(axis=0), 1)[None]
    (low_fpr, high_fpr), (low_fnr, high_fnr) = (
        [np.take_along_axis(rates, place, axis=0)[0] for place in (after - 1, after)] for rates in (fpr, fnr)
    )
    below, beyond = low_fnr - low_fpr, high_fpr - high_fnr
    part = below / np.maximum(below + beyond, np.finfo(float).tiny)  # both are 0 if the curve stays at (1, 1)
    return np.asarray(low_fpr + part * (high_fpr - low_fpr))


def _share(right: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the weight of these rows, float (B,), on correctly classified images; NaN if they have no weight."""
    chosen = weights[rows]
    return _ratio(right[rows].astype(np.float64) @ chosen, chosen.sum(axis=0))


def _mean(rows: Iterable[np.ndarray]) -> np.ndarray:
    """Mean over the generators that have weight, float (B,)."""
    stacked = np.stack(list(rows))
    known = ~np.isnan(stacked)
    return _ratio(np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


# --- curves


@dataclass(frozen=True)
class Curve:
    """A ROC curve: fpr, tpr float (T,) from (0, 0) to (1, 1), with its name and numbers of real and fake images."""

    name: str
    fpr: np.ndarray
    tpr: np.ndarray
    real: int
    fake: int


def curves(detector: Detector, name: str, most: int = MOST_CURVES) -> list[Curve]:
    """The curve of all images, called `name`, then one of each generator if there are two to `most` of them."""
    generators = detector.names if 1 < len(detector.names) <= most else []
    rows = [(name, np.flatnonzero(detector.fake), np.flatnonzero(~detector.fake))]
    from sklearn.metrics import roc_curve

    drawn = []
    for label, own, against in [*rows, *((each, *detector.against(each)) for each in generators)]:
        these = np.concatenate([own, against])
        fpr, tpr, _ = roc_curve(detector.fake[these], detector.log_odds[these])
        drawn.append(Curve(label, fpr, tpr, len(against), len(own)))
    return drawn
