"""Does a detector of one generator find another's images? The matrix of detectors and generators.

With a real class, the detector of a generator tells real images from this generator's, and is tested on real images and
those of each other generator. Without one, each class in turn takes the place of the real one, the *anchor*: a detector
tells the anchor from a class b and is tested on the anchor and each other class c. An AUC near 1 then says that what
tells the anchor from b tells it from c too: it is a trace of the anchor itself. Near 0.5, the detector has learned what
b looks like. One detector of a and b serves both as anchors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.errors import InputError
from fakeprint.evaluation.detection import Detector, weighted_area
from fakeprint.evaluation.detection_intervals import intervals_of, resamples

DATA, METRICS, REPORTS = Path("data/cross_generator"), Path("metrics/cross_generator"), Path("reports/cross_generator")
REAL = "real"
FIGURES = ("auc", "balanced_accuracy", "recall_of_fake")
LEAST_GENERATORS, LEAST_CLASSES = 2, 3


@dataclass(frozen=True)
class Images:
    """The images of one split: labels int (N,), class indices; generators object (N,), names or None."""

    labels: np.ndarray
    generators: np.ndarray


@dataclass(frozen=True)
class Pair:
    """A detector's task: the anchor (`REAL`, or a class) against a generator or class."""

    anchor: str
    other: str


@dataclass(frozen=True)
class Sources:
    """Who made the images.

    names: of the generators or, without a real class, of all classes. real: indices of the real classes.
    by_class: whether each class is one source; otherwise the source names the generators. classes: names of all
    classes.
    """

    names: list[str]
    real: list[int]
    by_class: bool
    classes: list[str]

    def pairs(self) -> list[Pair]:
        """A detector of each generator against real images, or of each pair of classes."""
        if self.real:
            return [Pair(REAL, name) for name in self.names]
        return [Pair(*both) for both in combinations(self.names, 2)]

    def rows(self, name: str, images: Images) -> np.ndarray:
        """Whether each image was made by a source, bool (N,)."""
        if self.by_class:
            return images.labels == self.classes.index(name)
        return (images.generators == name) & ~np.isin(images.labels, self.real)

    def anchor_rows(self, anchor: str, against: str, images: Images) -> np.ndarray:
        """Whether each image is of the anchor, bool (N,).

        Real images are those that carry the name of the generator `against`, or all if there are none.
        """
        if anchor != REAL or not self.real:
            return self.rows(anchor, images)
        real = np.isin(images.labels, self.real)
        named = real & (images.generators == against)
        return named if named.any() else real


def sources(train: Images, real: Sequence[int], classes: Sequence[str]) -> Sources:
    """The sources of the train images, as `detection.detector_of` finds generators.

    classes: names of all. Raises InputError for fewer than two generators or, without a real class, three classes.
    """
    fake = ~np.isin(train.labels, list(real))
    named = sorted({str(name) for name in train.generators[fake] if name is not None}) if real else []
    names = named or [name for index, name in enumerate(classes) if index not in real]
    if real and len(names) < LEAST_GENERATORS:
        raise InputError(
            f"cross_generator needs at least {LEAST_GENERATORS} generators, and the source has {len(names)} "
            f"({', '.join(names)}); set cross_generator.classifiers and cross_generator.networks to []"
        )
    if not real and len(names) < LEAST_CLASSES:
        raise InputError(
            f"cross_generator needs real images (data.real_classes) or at least {LEAST_CLASSES} classes, and the "
            f"source has {len(names)} ({', '.join(names)}); set cross_generator.classifiers and "
            "cross_generator.networks to []"
        )
    return Sources(names, list(real), not named, list(classes))


def require_images(found: Sources, splits: Mapping[str, Images]) -> None:
    """Raise InputError where a split has no image of a source or, where some are real, no real image."""
    for split, images in splits.items():
        for name in found.names:
            if not found.rows(name, images).any():
                raise InputError(f"cross_generator: {split} has no image of {name}; add some, or leave it out of train")
        if found.real and not np.isin(images.labels, found.real).any():
            raise InputError(f"cross_generator: {split} has no real image; add some, or set data.real_classes: []")


def table(
    model: str,
    log_odds: Mapping[Pair, np.ndarray],
    found: Sources,
    images: Images,
    groups: np.ndarray,
    seed: int,
    confidence: float,
) -> pd.DataFrame:
    """A row per anchor, detector and tested source, the detector's own source included.

    Columns: model, anchor, trained_on, tested_on, anchor_images, tested_images, and of `FIGURES` each FIGURE,
    FIGURE_low and FIGURE_high. auc: of the tested source's images against the anchor's. balanced_accuracy and
    recall_of_fake (the share of the tested images that are not taken for the anchor): at a probability of 0.5.

    log_odds: of each detector, ln(P(other) / P(anchor)), float (N,), of all validation images. images, groups: of
    these.
    """
    rows = []
    for pair, scores in log_odds.items():
        views = [(pair, scores)] if found.real else [(pair, scores), (Pair(pair.other, pair.anchor), -scores)]
        for (anchor, other), values in (((view.anchor, view.other), values) for view, values in views):
            for tested in found.names:
                if tested == anchor:
                    continue
                own, against = found.rows(tested, images), found.anchor_rows(anchor, tested, images)
                detector = _detector(own, against, values, groups)
                counts = {"anchor_images": int(against.sum()), "tested_images": int(own.sum())}
                head = {"model": model, "anchor": anchor, "trained_on": other, "tested_on": tested, **counts}
                rows.append(head | _figures(detector, seed, confidence))
    place = {name: number for number, name in enumerate(found.names)}
    return pd.DataFrame(rows).sort_values(
        ["anchor", "trained_on", "tested_on"], key=lambda column: column.map(lambda name: place.get(name, -1))
    )


def _detector(own: np.ndarray, against: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> Detector:
    rows = np.flatnonzero(own | against)
    return Detector(own[rows], scores[rows], groups[rows], np.full(len(rows), None, dtype=object))


def _figures(detector: Detector, seed: int, confidence: float) -> dict[str, float]:
    called = detector.log_odds >= 0

    def of(weights: np.ndarray) -> dict[str, np.ndarray]:
        recalls = []
        for kind in (~detector.fake, detector.fake):
            right = weights[kind] * (called[kind] == detector.fake[kind])[:, None]
            with np.errstate(invalid="ignore"):
                recalls.append(right.sum(axis=0) / weights[kind].sum(axis=0))
        balanced = (recalls[0] + recalls[1]) / 2
        return {
            "auc": weighted_area(detector, weights),
            "balanced_accuracy": balanced,
            "recall_of_fake": recalls[1],
        }

    values = of(np.ones((len(called), 1)))
    blocks = [of(weights) for weights in resamples(detector, seed)]
    sides = [len(np.unique(detector.groups[kind])) for kind in (~detector.fake, detector.fake)]
    bounds = intervals_of(values, blocks, (sides[0], sides[1]), confidence)
    row: dict[str, float] = {}
    for name, value in values.items():
        low, high = bounds.get(name, (np.nan, np.nan))
        row |= {name: float(value[0]), f"{name}_low": low, f"{name}_high": high}
    return row


def as_json(rows: pd.DataFrame) -> dict[str, Any]:
    """The means over detectors of their own source (`own`) and over all others (`others`), then each cell's figures."""
    own = rows["trained_on"] == rows["tested_on"]
    content: dict[str, Any] = {
        key: {name: float(rows.loc[kind, name].mean()) for name in FIGURES}
        for key, kind in (("own", own), ("others", ~own))
    }
    for row in rows.to_dict("records"):
        cell = {name: float(row[name]) for name in FIGURES}
        of_anchor = content.setdefault("anchors", {}).setdefault(str(row["anchor"]), {})
        of_anchor.setdefault(str(row["trained_on"]), {})[str(row["tested_on"])] = cell
    return content
