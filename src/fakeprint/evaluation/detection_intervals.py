"""Intervals of the metrics of real against fake, by a bootstrap over groups of images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit, logit, stdtrit

from fakeprint import seeds
from fakeprint.evaluation.detection import RATES, Decisions, Detector, Figures, kinds, weighted_area, weighted_figures
from fakeprint.evaluation.intervals import Interval, wilson

RESAMPLES = 2000
DIGITS = 6  # of an interval's bounds
ROUNDING = 1e-12  # standard deviation of resampled figures that counts as 0
CHUNK_WEIGHTS = 2**19  # weights of 8 bytes in memory at most
# Figures that rest on one kind of image: 0 = real or known, 1 = fake or unknown ones.
SIDE = {"recall_of_real": 0, "recall_of_fake": 1, "recall": 1, "false_alarms": 0, "found": 1}


def intervals(detector: Detector, decisions: Decisions | None, seed: int, confidence: float) -> dict[str, Any]:
    """Intervals (low, high) in [0, 1] of the figures of `weighted_figures`, nested in the same way.

    Whole groups of images are drawn with replacement 2,000 times; groups of real and of fake images separately, since
    their numbers are fixed by the design of the data set. The interval is the figure ± Student's t times the standard
    deviation over the resamples, on the logit scale: near 1 and for few groups it keeps its confidence level better
    than percentiles of the resamples. The threshold chosen on validation stays fixed.

    A figure of 0 or 1 does not vary: it gets Wilson's interval for a share of its groups, of the less frequent kind if
    it is not a share. No interval is given for a figure between 0 and 1 that does not vary (all images have one score),
    for a figure of a single group of real or fake images, and for a TPR at an FPR of less than one group of real
    images.

    confidence: in (0, 1).
    """
    found = weighted_figures(detector, decisions, np.ones((len(detector.fake), 1)))
    blocks = [weighted_figures(detector, decisions, weights) for weights in resamples(detector, seed)]
    sides = _groups(detector, np.flatnonzero(~detector.fake), np.flatnonzero(detector.fake))
    bounds = intervals_of(found, blocks, sides, confidence)
    if "generators" in found:
        means = [block["generator_mean"] for block in blocks]
        bounds["generators"] = {}
        for name, of_generator in found["generators"].items():
            own, against = detector.against(name)
            parts = [block["generators"][name] for block in blocks]
            sides_of = _groups(detector, against, own)
            bounds["generators"][name] = intervals_of(of_generator, parts, sides_of, confidence)
        bounds["generator_mean"] = intervals_of(found["generator_mean"], means, sides, confidence)
    return bounds


def area_with_interval(detector: Detector, seed: int, confidence: float) -> tuple[float, Interval | None]:
    """The AUC and its interval as in `intervals` (None if it has none), without computing the other figures."""
    area = weighted_area(detector, np.ones((len(detector.fake), 1)))
    blocks = [{"auc": weighted_area(detector, weights)} for weights in resamples(detector, seed)]
    sides = _groups(detector, np.flatnonzero(~detector.fake), np.flatnonzero(detector.fake))
    return float(area[0]), intervals_of({"auc": area}, blocks, sides, confidence).get("auc")


def _groups(detector: Detector, real: np.ndarray, fake: np.ndarray) -> tuple[int, int]:
    """Numbers of groups of these rows."""
    return len(np.unique(detector.groups[real])), len(np.unique(detector.groups[fake]))


def intervals_of(found: Figures, blocks: list[Figures], groups: tuple[int, int], confidence: float) -> dict[str, Any]:
    """The intervals of these figures, not of nested ones, see `intervals`.

    found: each figure float (1,). blocks: the same of resamples, float (b,) each. groups: numbers of groups of real and
    of fake images, or of known and of unknown ones. confidence: in (0, 1).
    """
    bounds = {}
    for key, values in found.items():
        if isinstance(values, dict) or groups[0] * RATES.get(key, 1.0) < 1:
            continue
        value, sides = float(values[0]), _sides(key, groups)
        fewest = min(sides)
        resampled = np.concatenate([block[key] for block in blocks])
        resampled = resampled[~np.isnan(resampled)]  # a generator may be missing from a resample
        error = float(resampled.std(ddof=1)) if len(resampled) > 1 else 0.0
        if 0 < value < 1 and error > ROUNDING and fewest > 1:
            # A resample of G groups varies as if their number were G − 1.
            error *= np.sqrt(fewest / (fewest - 1))
            half = float(stdtrit(fewest - 1, 0.5 + confidence / 2)) * error / (value * (1 - value))
            bounds[key] = _rounded(expit(logit(value) - half), expit(logit(value) + half))
        elif value in (0, 1):
            gaps = [wilson(0, count, confidence)[1] for count in sides]
            gap = float(np.hypot.reduce(gaps)) / len(gaps)
            bounds[key] = _rounded(1 - gap, 1) if value else _rounded(0, gap)
    return bounds


def _sides(key: str, groups: tuple[int, int]) -> list[int]:
    """Numbers of groups that a figure is based on: of real images, of fake ones, or of both if it is their mean."""
    if key.startswith("balanced_accuracy"):
        return list(groups)
    return [groups[SIDE[key]] if key in SIDE else min(groups)]


def _rounded(low: float, high: float) -> Interval:
    return round(float(low), DIGITS), round(float(high), DIGITS)


def resamples(detector: Detector, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each image is drawn, float64 (N, b), in chunks of resamples; the same for every model."""
    rng = seeds.generator(seed, "evaluate/detection/bootstrap")
    group, kind, _ = kinds(detector)
    chunk = max(1, CHUNK_WEIGHTS // len(group))
    for start in range(0, RESAMPLES, chunk):
        columns = min(chunk, RESAMPLES - start)
        counts = np.zeros((len(kind), columns))
        for members in (np.flatnonzero(kind == number) for number in range(3)):
            drawn = rng.integers(0, max(1, len(members)), (len(members), columns)) * columns + np.arange(columns)
            size = len(members) * columns
            counts[members] = np.bincount(drawn.ravel(), minlength=size).reshape(len(members), columns)
        yield counts[group]
