"""How often the printed 95 % intervals contain the true figure, and how long all intervals of a model take.

Samples come from a known world. There are five classes. An image has five normally distributed scores, and that of its
class is shifted by 3. The model knows this and predicts the exact probabilities, or is overconfident (scores times
1.8). Images of one group are of one class and share 60 % of the variance of their scores. The true figure is that of
400,000 images. For the calibration error, which is never 0 in a sample, it is the mean of 300 samples of the same size.

For the times, the peer computes the same figures of 20 resamples with scikit-learn; its time is scaled to all.
`python -m benchmarks.intervals [--json FILE]`
"""

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.table import Row, json_option, report, row
from fakeprint import seeds
from fakeprint.evaluation import bootstrap, metrics
from fakeprint.evaluation.predictions import Predictions
from fakeprint.evaluation.scores import scored

NAMES = list("abcde")
BINS, CONFIDENCE, SHIFT, SHARED = 15, 0.95, 3.0, 0.6
SAMPLES = 400
OVERALL = ("accuracy", "macro_f1", "log_loss", "ece", "roc_auc")
PER_CLASS = ("recall", "precision", "f1")  # of the first class


@dataclass(frozen=True)
class World:
    """`groups` groups of `size` images. overconfidence: factor on the scores; 1 is calibrated."""

    groups: int
    size: int = 1
    overconfidence: float = 1.0

    def __str__(self) -> str:
        kind = f"{self.groups:,} groups of {self.size}" if self.size > 1 else f"{self.groups:,} images"
        return kind + ", overconfident" * (self.overconfidence > 1)

    def sample(self, rng: np.random.Generator) -> Predictions:
        """Draw one sample and predict it."""
        groups = np.repeat(np.arange(self.groups), self.size)
        labels, rows = rng.integers(0, len(NAMES), self.groups)[groups], np.arange(len(groups))
        scores = rng.standard_normal((len(groups), len(NAMES)))
        if self.size > 1:
            common = rng.standard_normal((self.groups, len(NAMES)))[groups]
            scores = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * scores
        scores[rows, labels] += SHIFT
        powers = np.exp(self.overconfidence * SHIFT * (scores - scores.max(axis=1, keepdims=True)))
        none = np.full(len(groups), None, dtype=object)
        return Predictions(rows, labels, powers / powers.sum(axis=1, keepdims=True), groups, none)


WORLDS = (World(1_250), World(250), World(1_250, overconfidence=1.8), World(250, 5), World(40, 10))


def picked(figures: dict) -> dict:
    """Figures or intervals by name; of the per-class ones, those of the first class."""
    first = {f"{name} of one class": figures[name][NAMES[0]] for name in PER_CLASS if NAMES[0] in figures[name]}
    return {name: figures[name] for name in OVERALL if name in figures} | first


def true_figures(world: World, samples: int) -> dict[str, float]:
    """The true figures, which the intervals should contain."""
    rng = seeds.generator(7, "true", world.groups, world.size)

    def mean(of: World, count: int) -> dict[str, float]:
        drawn = [of.sample(rng) for _ in range(count)]
        found = [picked(metrics.figures(each.labels, each.probabilities, NAMES, BINS)) for each in drawn]
        return {name: float(np.mean([each[name] for each in found])) for name in found[0]}

    large = mean(World(20_000 // world.size, world.size, world.overconfidence), 20)
    return large | {"ece": mean(world, samples)["ece"]}


def coverage(world: World, samples: int, for_truth: int = 300) -> dict[str, float]:
    """For each figure, the share of samples whose interval contains the true one; a missing interval does not."""
    truth = true_figures(world, for_truth)
    held = dict.fromkeys(truth, 0)
    for number in range(samples):
        predictions = world.sample(seeds.generator(7, "sample", number, world.groups, world.size))
        intervals = picked(scored(predictions, NAMES, BINS, CONFIDENCE, number).intervals)
        for name, (low, high) in intervals.items():
            held[name] += low <= truth[name] <= high
    return {name: count / samples for name, count in held.items()}


def seconds(images: int) -> Row:
    """Time of all figures and intervals of a model, 2,000 resamples, compared with scikit-learn for each resample."""
    predictions = World(images).sample(seeds.generator(7, "time"))
    start = time.process_time()
    scored(predictions, NAMES, BINS, CONFIDENCE, 7)
    ours = time.process_time() - start
    rng, some = seeds.generator(7, "peer"), 20
    start = time.process_time()
    for _ in range(some):
        rows = rng.integers(0, images, images)
        metrics.figures(predictions.labels[rows], predictions.probabilities[rows], NAMES, BINS)
    peer = (time.process_time() - start) * bootstrap.RESAMPLES / some
    return row(f"all intervals of a model, {images:,} images", ours, peer, "s on one core", "lower", None)


def main() -> None:
    json_path = json_option(__doc__)
    rows = [seconds(images) for images in (1_250, 100_000)]
    for world in WORLDS:
        for name, share in coverage(world, SAMPLES).items():
            rows.append(row(f"{world}: {name}", share, CONFIDENCE, "coverage", "higher", 0.95))
    report(rows, "Intervals: coverage (peer: 95 %), and time (peer: scikit-learn in a loop)", json_path)


if __name__ == "__main__":
    main()
