"""What a study's cells say about its arms: means over seeds, paired differences, intervals, corrected tests, words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from fakeprint.errors import InputError
from fakeprint.evaluation.intervals import Interval, holm
from fakeprint.evaluation.predictions import Predictions
from fakeprint.studies import paired
from fakeprint.studies.arms import lower_is_better
from fakeprint.studies.paired import DIGITS, LEVEL
from fakeprint.studies.resampling import block_totals, blocks_of, resampled, spread
from fakeprint.studies.results import CellResult, StudyResults

CONFIDENCE = 0.95
SEED = 7  # of the resamples

Word = Literal[
    "better",
    "worse",
    "no difference shown",
    "too small to matter",
    "too few seeds to tell",
    "too few folds to tell",
    "identical on every seed",
    "identical on every fold",
    "not run",
]
TOO_FEW: dict[str, Word] = {"seed": "too few seeds to tell", "fold": "too few folds to tell"}
IDENTICAL: dict[str, Word] = {"seed": "identical on every seed", "fold": "identical on every fold"}
Resamples = dict[tuple[str, int], dict[str, np.ndarray]]  # (arm, replicate) → figure → float (B,)


@dataclass(frozen=True)
class Summary:
    """One figure of one model in one arm. values: replicate → figure, of the cells that there are."""

    arm: str
    model: str
    figure: str
    values: dict[int, float]

    @property
    def mean(self) -> float | None:
        """Mean over replicates, None without any."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over replicates (n − 1), None for fewer than two."""
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """One figure of one model: an arm less the one that it is compared to.

    differences: replicate → difference, of the replicates that both arms have. interval: of the mean difference over
    other seeds and other images, None for fewer than two replicates. over_images: whether it knows of images, or of
    replicates alone. p_seeds: of the paired test over replicates; None for fewer than two, and where every replicate
    gives the same result. p_both: of the interval. p: the larger one, Holm-corrected, of the study's first figure; None
    for other figures and where so few replicates cannot reach the level. word, why: the verdict, of the first figure.
    """

    arm: str
    to: str
    model: str
    figure: str
    differences: dict[int, float]
    interval: Interval | None = None
    over_images: bool = False
    p_seeds: float | None = None
    p_both: float | None = None
    p: float | None = None
    word: Word | None = None
    why: str = ""

    @property
    def difference(self) -> float | None:
        """Mean difference, None without common replicates."""
        return float(np.mean(list(self.differences.values()))) if self.differences else None


@dataclass(frozen=True)
class Statistics:
    """All of a study. summaries, comparisons: keyed (arm, model, figure). steps: of an ablation path, keyed the same,
    each configuration less the one before it. comparison_count: that Holm's correction counts. unread: why predictions
    of single images could not be read; the intervals that need them then know of replicates alone.
    """

    summaries: dict[tuple[str, str, str], Summary]
    comparisons: dict[tuple[str, str, str], Comparison]
    steps: dict[tuple[str, str, str], Comparison]
    comparison_count: int
    unread: tuple[str, ...] = ()

    def verdicts(self, first: str) -> list[Comparison]:
        """The comparisons in the first figure, which have a word."""
        return [comparison for (_, _, figure), comparison in self.comparisons.items() if figure == first]


def analyse(results: StudyResults, seed: int = SEED) -> Statistics:
    """Means, differences, intervals, tests and words of a study.

    Only the replicates that both arms of a pair have are compared. The paired test is of the study's first figure: the
    exact Wilcoxon signed-rank test over seeds, Student's t, or for folds the t corrected for overlapping train splits.
    A test over seeds alone would find, with enough seeds, any difference that these images happen to show. So the
    p-value is the larger of this test's and of the interval's, which covers other images too; Holm's correction is over
    all arms and models of the study, run or not, and over the steps of a greedy path that are still to come.
    """
    study, to = results.study, results.compare_to
    summaries: dict[tuple[str, str, str], Summary] = {}
    comparisons: dict[tuple[str, str, str], Comparison] = {}
    steps: dict[tuple[str, str, str], Comparison] = {}
    arms = {arm: results.of_arm(arm) for arm in results.arms}
    pairs = [(arm, to) for arm in arms if arm != to]
    path_pairs = list(zip(results.path[1:], results.path[:-1], strict=True))
    unread: list[str] = []
    for model in study.models:
        resamples, blocks = _resamples(arms, model, results, seed, unread)
        for figure in study.metrics:
            for arm, cells in arms.items():
                values = {
                    each: value for each, cell in cells.items() if (value := _value(cell, model, figure)) is not None
                }
                summaries[arm, model, figure] = Summary(arm, model, figure, values)
            for found, listed in ((comparisons, pairs), (steps, path_pairs)):
                for arm, other in listed:
                    sides = summaries[arm, model, figure], summaries[other, model, figure]
                    found[arm, model, figure] = _compared(*sides, resamples, blocks, results.held_out)
    count = (len(pairs) + results.to_come) * len(study.models)
    comparisons |= _with_words(results, arms, comparisons)
    return Statistics(summaries, comparisons, steps, count, tuple(dict.fromkeys(unread)))


def _value(cell: CellResult, model: str, figure: str) -> float | None:
    value = cell.figures.get(model, {}).get(figure)
    return None if value is None or np.isnan(value) else float(value)


def _resamples(
    arms: Mapping[str, dict[int, CellResult]], model: str, results: StudyResults, seed: int, unread: list[str]
) -> tuple[Resamples, int]:
    """The study's figures of this model in each resample of images, and the number of blocks that were drawn from.

    Why predictions could not be read is added to `unread`.
    """
    cells = {(arm, replicate): cell for arm, found in arms.items() for replicate, cell in found.items()}

    def read() -> Iterator[tuple[tuple[str, int], Predictions]]:
        for key, cell in cells.items():
            if cell.predictions is not None and model in cell.figures:
                try:
                    yield key, cell.predictions(model)
                except InputError as error:
                    unread.append(str(error))

    blocks = blocks_of(predictions for _, predictions in read())
    if blocks.count < 2:
        return {}, blocks.count
    totals = {key: block_totals(predictions, blocks, results.bins) for key, predictions in read()}
    return resampled(totals, blocks.count, results.study.metrics, seed), blocks.count


def _compared(mine: Summary, other: Summary, resamples: Resamples, blocks: int, held_out: float) -> Comparison:
    common = [replicate for replicate in mine.values if replicate in other.values]
    differences = {each: mine.values[each] - other.values[each] for each in common}
    comparison = Comparison(mine.arm, other.arm, mine.model, mine.figure, differences)
    if len(common) < 2:
        return comparison
    values, figure = np.array(list(differences.values())), mine.figure
    drawn = [(resamples.get((mine.arm, each), {}), resamples.get((other.arm, each), {})) for each in common]
    known = all(figure in side for pair in drawn for side in pair)
    over_images = _defined(np.array([left[figure] - right[figure] for left, right in drawn])) if known else None
    found = spread(values, over_images, blocks, held_out)
    if over_images is None and not found.error:  # a model without chance: seeds say nothing of other images
        return comparison
    mean = float(np.mean(values))
    reach = float(stdtrit(found.freedom, 0.5 + CONFIDENCE / 2)) * found.error
    p_both = paired.two_sided(mean, found.error, found.freedom)
    interval = (mean - reach, mean + reach)
    return replace(comparison, interval=interval, over_images=over_images is not None, p_both=p_both)


def _defined(resamples: np.ndarray) -> np.ndarray | None:
    """The resamples, float (S, B), without those that drew no image of a replicate; None if these are most of them.

    Folds have groups of their own, and a draw of few groups may leave out all of one fold.
    """
    defined = np.isfinite(resamples).all(axis=0)
    return resamples[:, defined] if 2 * defined.sum() >= len(defined) else None


def _with_words(
    results: StudyResults,
    arms: Mapping[str, dict[int, CellResult]],
    comparisons: dict[tuple[str, str, str], Comparison],
) -> dict[tuple[str, str, str], Comparison]:
    """The comparisons in the first figure with their p-values and verdicts."""
    first = results.study.metrics[0]
    tested = {}
    for key, comparison in comparisons.items():
        if key[2] == first:
            constant = _is_constant(comparison, arms)
            tested[key] = (replace(comparison, p_seeds=None if constant else _p_seeds(comparison, results)), constant)
    raw = [max(each.p_seeds or 0.0, 1.0 if each.p_both is None else each.p_both) for each, _ in tested.values()]
    to_come = results.to_come * len(results.study.models)
    adjusted = holm(np.array(raw + [1.0] * to_come))[: len(raw)]
    return {
        key: _judged(replace(comparison, p=float(p)), constant, results, len(tested) + to_come, arms)
        for (key, (comparison, constant)), p in zip(tested.items(), adjusted, strict=True)
    }


def _p_seeds(comparison: Comparison, results: StudyResults) -> float | None:
    values = np.array(list(comparison.differences.values()))
    if len(values) < 2:
        return None
    if results.study.folds or results.study.test == "t":
        return paired.corrected_t(values, results.held_out)
    return paired.wilcoxon(values)


def _is_constant(comparison: Comparison, arms: Mapping[str, dict[int, CellResult]]) -> bool:
    """Whether both arms give the same figures, all of them, with every replicate: a model without chance in it."""
    replicates = list(comparison.differences)
    return len(replicates) > 1 and all(
        _same(arms[arm][replicates[0]], arms[arm][each], comparison.model)
        for arm in (comparison.arm, comparison.to)
        for each in replicates[1:]
    )


def _same(one: CellResult, other: CellResult, model: str) -> bool:
    left, right = one.figures[model], other.figures[model]
    return left.keys() == right.keys() and all(
        bool(np.isclose(left[name], right[name], rtol=0, atol=10.0**-DIGITS, equal_nan=True)) for name in left
    )


def _judged(
    comparison: Comparison,
    constant: bool,
    results: StudyResults,
    count: int,
    arms: Mapping[str, dict[int, CellResult]],
) -> Comparison:
    """The comparison with its word; p becomes None where it says nothing."""
    n, study = len(comparison.differences), results.study
    unit = "fold" if study.folds else "seed"
    if n == 0:
        return replace(comparison, p=None, word="not run", why=f"no {unit} of both arms is complete")
    pairs = [(arms[comparison.arm][each], arms[comparison.to][each]) for each in comparison.differences]
    if all(_same(mine, other, comparison.model) for mine, other in pairs):
        return replace(comparison, p=None, word=IDENTICAL[unit], why="the change has no effect on this model")
    if constant and not comparison.over_images:
        why = f"every {unit} gives the same result, and {comparison.figure} has no interval over images here"
        return replace(comparison, p=None, word=TOO_FEW[unit], why=why)
    low, high = comparison.interval or (-np.inf, np.inf)
    if study.margin and -study.margin <= low and high <= study.margin:
        why = "the interval is inside the margin"
        return replace(comparison, word="too small to matter", why=why)
    if few := None if constant else _too_few(n, study.test == "t" or bool(study.folds), unit, count):
        return replace(comparison, p=None, word=TOO_FEW[unit], why=few)
    why = f"every {unit} gives the same result: tested over images" if constant else ""
    if comparison.p is not None and comparison.p < LEVEL:
        mean = comparison.difference or 0.0
        word: Word = "better" if (mean > 0) != lower_is_better(comparison.figure) else "worse"
        return replace(comparison, word=word, why=why)
    return replace(comparison, word="no difference shown", why=why)


def _too_few(n: int, is_t: bool, unit: str, count: int) -> str:
    """Why so few replicates cannot show anything, and how many could; "" where they can."""
    comparisons = f"{count} comparison{'s' * (count > 1)}"
    if is_t:
        return "" if n > 1 else f"a t test needs 2 {unit}s"
    if paired.smallest_p(n) * count < LEVEL:
        return ""
    reached = f"{paired.smallest_p(n):.4f}".rstrip("0").rstrip(".")
    needed = paired.seeds_needed(count)
    verb = "need" if count > 1 else "needs"
    return f"exact Wilcoxon with {n} seed{'s' * (n > 1)} reaches {reached} at best, {comparisons} {verb} {needed} seeds"
