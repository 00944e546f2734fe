"""How often a study's 95 % intervals contain the true difference, and how often its words claim one between equal arms.

Studies come from a known world. An image has a difficulty; each arm adds what it does to this image with every seed,
each seed what it does to all images, and each seed and image something of their own. An image is classified correctly
where the sum is above 0, and the probabilities grow with it. Where all arms are equal on average over seeds and images,
the true difference of every figure is 0; where one adds a constant to the score, that of accuracy follows from the
normal distribution. The rows vary what dominates.

For the coverage, the peer is the plain hierarchical bootstrap of the same cells: percentiles over draws of seeds, then
of groups. For the words, any `better` or `worse` is a false claim; the peer is the paired test over seeds alone, Holm's
correction included. `python -m benchmarks.study_statistics [--studies N] [--json FILE]`
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from benchmarks.table import Row, report, row
from fakeprint import seeds
from fakeprint.evaluation import metrics
from fakeprint.evaluation.intervals import holm
from fakeprint.evaluation.predictions import Predictions
from fakeprint.studies import statistics
from fakeprint.studies.paired import LEVEL
from fakeprint.studies.results import Cell, CellResult, StudyResults
from fakeprint.studies.statistics import CONFIDENCE
from fakeprint.studies.study import Study

CLASSES, BINS, MODEL = 3, 15, "model"
STUDIES = 300
EASE = 1.2  # what is added to the score of every image
DIFFERENCES = (0.01, 0.03)  # true ones in accuracy, beside 0
FIGURES = ["accuracy", "macro_f1", "log_loss", "ece"]
Test = Literal["wilcoxon", "t"]


@dataclass(frozen=True)
class World:
    """Standard deviations of what adds to an image's score; its difficulty has 1. size: images per group, which share
    60 % of the variance of what concerns images.
    """

    name: str
    seed: float  # of an arm's seed, on all images
    image: float  # of an arm, on one image with every seed
    left: float  # of an arm's seed, on one image
    images: int = 200
    size: int = 1

    def effect(self, difference: float) -> float:
        """What an arm has to add to every score, so that its expected accuracy is so much higher."""
        spread = np.sqrt(1 + self.image**2 + self.seed**2 + self.left**2)
        return float(spread * norm.ppf(norm.cdf(EASE / spread) + difference) - EASE)

    def study(
        self, arms: int, count: int, rng: np.random.Generator, test: Test = "wilcoxon", difference: float = 0.0
    ) -> StudyResults:
        """Draw the results of `arms` arms with `count` seeds; all but the first are better by `difference`."""
        groups = np.arange(self.images) // self.size

        def on_images(rows: int) -> np.ndarray:
            own, shared = (rng.standard_normal((rows, self.images)) for _ in range(2))
            return own if self.size == 1 else np.sqrt(0.4) * own + np.sqrt(0.6) * shared[:, groups]

        labels = rng.integers(0, CLASSES, self.images)
        wrong = (labels + rng.integers(1, CLASSES, self.images)) % CLASSES
        difficulty, of_arm = on_images(1)[0], self.image * on_images(arms)
        cells = []
        for arm in range(arms):
            for number in range(count):
                common = self.seed * rng.standard_normal()
                score = EASE + difficulty + of_arm[arm] + common + self.left * rng.standard_normal(self.images)
                score += self.effect(difference) if arm else 0.0
                cells.append(_cell(f"arm {arm}", number, labels, wrong, score, groups))
        names = {f"arm {arm}": {"model.dropout": arm} for arm in range(arms)}
        about = Study(question="?", arms=names, models=[MODEL], metrics=FIGURES, compare_to="arm 0", test=test)
        return StudyResults("simulated", about, names, list(range(count)), cells, bins=BINS)


def _cell(
    arm: str, number: int, labels: np.ndarray, wrong: np.ndarray, score: np.ndarray, groups: np.ndarray
) -> CellResult:
    """A cell in which `score` > 0 is right; the rest of the probability is that of the class `wrong`, and a third's."""
    rows, right = np.arange(len(labels)), expit(2 * score)
    probabilities = np.full((len(labels), CLASSES), 1e-6)
    probabilities[rows, labels], probabilities[rows, wrong] = right, 1 - right
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    none = np.full(len(labels), None, dtype=object)
    predictions = Predictions(rows, labels, probabilities, groups, none)
    found = metrics.figures(labels, probabilities, list("abc"), BINS, areas=False)
    figures = {MODEL: {name: found[name] for name in FIGURES}}
    return CellResult(Cell(arm, number, f"{arm}-{number}"), figures, predictions=lambda _: predictions)


WORLDS = (
    World("seeds dominate", seed=0.25, image=0.05, left=0.1),
    World("images dominate", seed=0.02, image=0.6, left=0.1),
    World("seed × image dominates", seed=0.02, image=0.05, left=0.8),
    World("all three", seed=0.12, image=0.4, left=0.5),
    World("all three, 40 groups of 5", seed=0.12, image=0.4, left=0.5, size=5),
    World("no chance in training", seed=0.0, image=0.5, left=0.0),
)


def percentile_intervals(results: StudyResults, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The plain hierarchical bootstrap: percentiles of the mean difference over draws of seeds and of groups."""
    arms = {arm: results.of_arm(arm) for arm in results.arms}
    resamples, _ = statistics._resamples(arms, MODEL, results, statistics.SEED, [])
    found = {}
    for figure in FIGURES:
        of_seeds = np.array(
            [resamples["arm 1", each][figure] - resamples["arm 0", each][figure] for each in results.replicates]
        )
        drawn = rng.integers(0, len(of_seeds), of_seeds.shape)
        low, high = np.quantile(np.take_along_axis(of_seeds, drawn, axis=0).mean(axis=0), [0.025, 0.975])
        found[figure] = (float(low), float(high))
    return found


def coverage(
    world: World, count: int, studies: int, with_peer: bool = True, difference: float = 0.0
) -> dict[str, tuple[float, float]]:
    """By figure: the share of studies of two arms whose interval contains the truth, ours and the percentile one.

    difference: the true one in accuracy. Where it is not 0, only accuracy is looked at.
    """
    figures = FIGURES if difference == 0 else FIGURES[:1]
    held = {figure: np.zeros(2) for figure in figures}
    for number in range(studies):
        rng = seeds.generator(7, "study", number, count)
        results = world.study(2, count, rng, difference=difference)
        analysed = statistics.analyse(results, number)
        peer = percentile_intervals(results, rng) if with_peer else {}
        for figure in figures:
            pairs = [analysed.comparisons["arm 1", MODEL, figure].interval, peer.get(figure)]
            held[figure] += [pair is not None and pair[0] <= difference <= pair[1] for pair in pairs]
    return {
        figure: (float(shares[0]), float(shares[1])) for figure, shares in ((f, h / studies) for f, h in held.items())
    }


def false_claims(world: World, arms: int, count: int, studies: int, test: Test) -> tuple[float, float]:
    """Share of studies of equal arms with any `better` or `worse`, and with any p of the seeds alone below 0.05."""
    ours = peer = 0
    for number in range(studies):
        results = world.study(arms, count, seeds.generator(7, "equal", number, arms, count), test)
        verdicts = statistics.analyse(results, number).verdicts(FIGURES[0])
        ours += any(verdict.word in ("better", "worse") for verdict in verdicts)
        of_seeds = [1.0 if verdict.p_seeds is None else verdict.p_seeds for verdict in verdicts]
        peer += bool(holm(np.array(of_seeds)).min() < LEVEL)
    return ours / studies, peer / studies


def rows_of_coverage(world: World, count: int, studies: int, difference: float = 0.0) -> list[Row]:
    shares = coverage(world, count, studies, difference=difference)
    name = f"{world.name}, {count} seeds, true difference {difference:g}"
    return [
        row(f"{name}: {figure}", ours, max(peer, 1 / studies), "coverage", "higher", None)
        for figure, (ours, peer) in shares.items()
    ]


def row_of_claims(world: World, test: Test, count: int, studies: int, arms: int = 4) -> Row:
    ours, peer = false_claims(world, arms, count, studies, test)
    name = f"{world.name}, {arms - 1} comparisons, {count} seeds, {test}: false claims"
    return row(name, max(ours, 1 / studies), max(peer, 1 / studies), "share", "lower", None)


def rows_of(studies: int) -> list[Row]:
    """All rows. studies: drawn for each."""
    rows = [each for world in WORLDS for count in (3, 5, 10) for each in rows_of_coverage(world, count, studies)]
    for difference in DIFFERENCES:
        rows += [each for world in WORLDS for each in rows_of_coverage(world, 5, studies, difference)]
    claims: Sequence[tuple[Test, int]] = (("wilcoxon", 7), ("wilcoxon", 8), ("wilcoxon", 10), ("t", 5))
    return rows + [row_of_claims(world, test, count, studies) for world in WORLDS for test, count in claims]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES, help="per row (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    args = parser.parse_args()
    title = f"Intervals ({CONFIDENCE:.0%}) and words of a study; peers: percentiles, the seeds' test alone"
    report(rows_of(args.studies), title, args.json)


if __name__ == "__main__":
    main()
