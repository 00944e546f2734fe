"""How often the 95 % intervals of a detector's figures contain the true figure, and how long they take to compute.

Scores are normally distributed, those of fake images shifted, so that the true AUC, equal error rate, TPR at a fixed
FPR and balanced accuracy are known. In groups, images share half of the variance of their scores. If false positives
must be rare, a figure depends on few images: the rows of TPR at 1 % FPR show how many it needs.

For the times, the peer computes the figures of 20 resamples with scikit-learn; its time is scaled to all resamples.
`python -m benchmarks.detection [--json FILE]`
"""

import time
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score, roc_curve

from benchmarks.table import Row, json_option, report, row
from fakeprint import seeds
from fakeprint.evaluation.detection import RATES, Detector
from fakeprint.evaluation.detection_intervals import RESAMPLES, intervals

CONFIDENCE, SHARED = 0.95, 0.5
SAMPLES = 200


@dataclass(frozen=True)
class World:
    """`groups` groups of real and as many of fake images, of `size` images each; `shift` is between their scores."""

    groups: int
    shift: float
    size: int = 1

    def __str__(self) -> str:
        of_each = f"{self.groups:,} groups of {self.size}" if self.size > 1 else f"{self.groups:,}"
        return f"{of_each} real and fake, AUC {self.truth['auc']:.3f}"

    @property
    def truth(self) -> dict[str, float]:
        """The true figures, which the intervals should contain."""
        rates = {key: float(norm.sf(norm.isf(rate) - self.shift)) for key, rate in RATES.items()}
        half = float(norm.cdf(self.shift / 2))
        return {"auc": float(norm.cdf(self.shift / np.sqrt(2))), "eer": 1 - half, **rates, "balanced_accuracy": half}

    def sample(self, rng: np.random.Generator) -> Detector:
        """Draw one sample of images, with log-odds as scores."""
        groups = np.repeat(np.arange(2 * self.groups), self.size)
        fake = groups >= self.groups
        scores = rng.standard_normal(len(groups))
        if self.size > 1:
            scores = np.sqrt(SHARED) * rng.standard_normal(2 * self.groups)[groups] + np.sqrt(1 - SHARED) * scores
        return Detector(fake, scores + self.shift * (fake - 0.5), groups, np.full(len(groups), None, dtype=object))


WORLDS = (World(50, 3.0), World(100, 1.5), World(300, 1.5), World(300, 3.0), World(1_000, 1.5), World(50, 1.5, 5))


def coverage(world: World, samples: int) -> dict[str, float]:
    """Share of samples whose interval contains the true figure, among those that have an interval."""
    held: dict[str, list[bool]] = {}
    for number in range(samples):
        detector = world.sample(seeds.generator(7, "sample", number, world.groups, world.size))
        bounds = intervals(detector, None, number, CONFIDENCE)
        for name, value in world.truth.items():
            if name in bounds:
                held.setdefault(name, []).append(bounds[name][0] <= value <= bounds[name][1])
    return {name: float(np.mean(each)) for name, each in held.items()}


def seconds(images: int) -> Row:
    """Time of all intervals of a detector, compared with scikit-learn for each resample."""
    detector = World(images // 2, 1.5).sample(seeds.generator(7, "time"))
    start = time.process_time()
    intervals(detector, None, 7, CONFIDENCE)
    ours = time.process_time() - start
    rng, some = seeds.generator(7, "peer"), 20
    start = time.process_time()
    for _ in range(some):
        rows = rng.integers(0, images, images)
        fake, scores = detector.fake[rows], detector.log_odds[rows]
        roc_auc_score(fake, scores), average_precision_score(fake, scores), roc_curve(fake, scores)
        balanced_accuracy_score(fake, scores >= 0)
    peer = (time.process_time() - start) * RESAMPLES / some
    return row(f"all intervals of a detector, {images:,} images", ours, peer, "s on one core", "lower", None)


def main() -> None:
    json_path = json_option(__doc__)
    rows = [seconds(images) for images in (1_250, 20_000)]
    for world in WORLDS:
        for name, share in coverage(world, SAMPLES).items():
            rows.append(row(f"{world}: {name}", share, CONFIDENCE, "coverage", "higher", None))
    report(rows, "Intervals of a detector: coverage (peer: 95 %), and time (peer: scikit-learn in a loop)", json_path)


if __name__ == "__main__":
    main()
