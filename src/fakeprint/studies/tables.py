"""The tables of a study as rows of text, for the page and for the terminal, and as numbers for JSON and CSV."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table

from fakeprint.errors import InputError, first_few
from fakeprint.evaluation.leaderboard import p_text
from fakeprint.studies.arms import JOINED
from fakeprint.studies.figures import PER_CLASS
from fakeprint.studies.results import CellResult, StudyResults
from fakeprint.studies.statistics import CONFIDENCE, TOO_FEW, Comparison, Statistics, Summary

PLAIN = ("log_loss", "roc_auc", "auc", "brier")  # other figures are shares, shown in per cent
DIGITS = 6  # of numbers in files
NONE = "–"


def is_share(figure: str) -> bool:
    """Whether a figure is shown in per cent, and its differences in percentage points."""
    return figure.replace("/", ".").rpartition(".")[2] not in PLAIN


def unit(figure: str) -> str:
    """` points` for differences of shares, else nothing."""
    return " points" if is_share(figure) else ""


def heading(figure: str) -> str:
    """The name of a figure in a table or on an axis."""
    per_class = re.fullmatch(rf"({'|'.join(PER_CLASS)})\.(.+)", figure)
    if per_class:
        return f"{per_class[1].replace('f1', 'F1')} of class {per_class[2]}"
    return figure.replace("_", " ").replace("macro f1", "macro F1").replace("ece", "calibration error (ECE)")


def mean_text(summary: Summary) -> str:
    """`84.20 ± 0.61 %`, `0.5570 ± 0.0123`; the deviation is left out where there is one replicate."""
    if summary.mean is None:
        return NONE
    share = is_share(summary.figure)
    factor, digits = (100, 2) if share else (1, 4)
    spread = "" if summary.deviation is None else f" ± {factor * summary.deviation:.{digits}f}"
    return f"{factor * summary.mean:.{digits}f}{spread}{' %' if share else ''}"


def difference_text(comparison: Comparison) -> str:
    """`+1.20 (+0.40 to +2.00)`: the mean difference and its interval, in percentage points for shares."""
    if comparison.difference is None:
        return NONE
    factor, digits = (100, 2) if is_share(comparison.figure) else (1, 4)

    def signed(value: float) -> str:
        text = f"{factor * value:+.{digits}f}"
        return text.replace("-", "−") if float(text) else f"{0:.{digits}f}"

    text = signed(comparison.difference)
    return text + (
        f" ({signed(comparison.interval[0])} to {signed(comparison.interval[1])})" if comparison.interval else ""
    )


def replicates_text(results: StudyResults, arm: str) -> str:
    """`5`, or `3 of 5` where cells are missing."""
    done, planned = len(results.of_arm(arm)), len(results.replicates)
    return str(done) if done == planned else f"{done} of {planned}"


def step_names(results: StudyResults) -> dict[str, str]:
    """Each configuration of a path by the name of its step: `+ flip` for `jpeg + flip` after `jpeg`."""
    names = dict(zip(results.path[:1], results.path[:1], strict=True))
    for before, arm in pairwise(results.path):
        added = arm.removeprefix(f"{before}{JOINED}")
        names[arm] = arm if added == arm and before != results.path[0] else f"{JOINED.lstrip()}{added}"
    return names


def shown_names(results: StudyResults) -> dict[str, str]:
    """Each arm's name in pictures: `… + flip` for `jpeg + noise + flip` on a path, where it follows `jpeg + noise`."""
    steps = step_names(results)
    return {arm: f"… {steps[arm]}" if JOINED in arm and steps.get(arm, arm) != arm else arm for arm in results.arms}


def comparison_of(
    results: StudyResults, statistics: Statistics, arm: str, model: str, figure: str
) -> Comparison | None:
    """An arm's comparison; None for the arm that the others are compared to."""
    return statistics.comparisons.get((arm, model, figure)) if arm != results.compare_to else None


def main_rows(results: StudyResults, statistics: Statistics, model: str) -> list[list[str]]:
    """arm, n, first figure, difference, p, verdict: a row per arm."""
    first, rows = results.study.metrics[0], []
    for arm in results.arms:
        summary = statistics.summaries[arm, model, first]
        comparison = comparison_of(results, statistics, arm, model, first)
        found = [NONE, NONE, "compared to"]
        if comparison:
            p = NONE if comparison.p is None else p_text(comparison.p)
            found = [difference_text(comparison), p, comparison.word or NONE]
        rows.append([arm, replicates_text(results, arm), mean_text(summary), *found])
    return rows


def main_header(results: StudyResults) -> list[str]:
    """The headings of `main_rows`."""
    first = results.study.metrics[0]
    difference = f"difference{f' in{unit(first)}' if unit(first) else ''} ({100 * CONFIDENCE:g} % interval)"
    return ["arm", "n", heading(first), difference, "p", "verdict"]


def as_table(results: StudyResults, statistics: Statistics, model: str) -> Table:
    """One model's arms for the terminal, 80 columns wide."""
    narrow: dict[str, Any] = {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0), "pad_edge": False}
    table = Table(title=f"{results.name}: {model}, compared to {results.compare_to}", **narrow)
    arm, *others = main_header(results)
    table.add_column(arm, overflow="fold", max_width=22)
    for name in others:
        table.add_column(name.replace(" (", "\n("), justify="left" if name == "verdict" else "right", overflow="fold")
    for row in main_rows(results, statistics, model):
        cells = [cell.replace(" ± ", "\n± ").replace(" (", "\n(") for cell in row[1:]]
        table.add_row(row[0], *cells, style="bold" if row[-1] in ("better", "worse") else None)
    count = statistics.comparison_count
    table.caption = (
        f"p: Holm-corrected for {count} comparison{'s' * (count > 1)}; more: fakeprint study report {results.name}"
    )
    return table


def worst_degraded(results: StudyResults, arm: str, model: str) -> tuple[str, float] | None:
    """The degradation with the lowest mean accuracy over an arm's cells, and that accuracy; None without any."""
    means = degraded_means(results, arm, model)
    return min(means.items(), key=lambda pair: pair[1]) if means else None


def degraded_means(results: StudyResults, arm: str, model: str) -> dict[str, float]:
    """Degradation → mean accuracy over an arm's cells; of degradations that all of its cells have."""
    tables = [cell.degraded[model] for cell in results.of_arm(arm).values() if cell.degraded.get(model)]
    names = [name for name in tables[0] if all(name in table for table in tables)] if tables else []
    return {name: float(np.mean([table[name] for table in tables])) for name in names}


def on_test(results: StudyResults, arm: str, model: str, figure: str) -> Summary:
    """A figure on the labelled test images, of the cells that have it."""
    found = {each: cell.on_test.get(model, {}) for each, cell in results.of_arm(arm).items()}
    return Summary(arm, model, figure, {each: own[figure] for each, own in found.items() if figure in own})


def clean_accuracy(results: StudyResults, arm: str, model: str) -> float:
    """Mean accuracy on validation images as they are, over the cells of an arm that have degraded ones too."""
    cells = [cell for cell in results.of_arm(arm).values() if cell.degraded.get(model)]
    return float(np.mean([cell.figures[model]["accuracy"] for cell in cells]))


def seconds_text(cells: Iterable[CellResult]) -> str:
    """Mean seconds of the cells whose time is known, and how many these are if not all: `312 (3 of 5)`."""
    cells = list(cells)
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    if not known:
        return NONE
    some = f" ({len(known)} of {len(cells)})" if len(known) < len(cells) else ""
    return f"{np.mean(known):,.0f}{some}"


def missing(results: StudyResults) -> dict[tuple[str, int], str]:
    """The planned cells that have no result, with the reason, in the order of arms and replicates."""
    return {
        (arm, replicate): results.missing.get((arm, replicate), "not run")
        for arm in results.arms
        for replicate in results.replicates
        if replicate not in results.of_arm(arm)
    }


def require_cells(results: StudyResults) -> None:
    """Raises InputError if no cell of the study is complete."""
    if not results.cells:
        name = results.name
        raise InputError(f"{name}: no cell is complete yet; run them with `fakeprint study run studies/{name}.yaml`")


def notes(results: StudyResults, statistics: Statistics) -> list[str]:
    """What stands below the tables in the terminal: missing cells, why seeds are too few, what could not be read."""
    lines = [f"missing: {line}" for line in grouped_missing(results)]
    whys = [each.why for each in statistics.verdicts(results.study.metrics[0]) if each.word in TOO_FEW.values()]
    lines += [f"too few: {why}" for why in dict.fromkeys(whys)]
    return lines + [f"intervals over seeds alone: {reason}" for reason in statistics.unread]


def grouped_missing(results: StudyResults) -> list[str]:
    """A line per arm and reason: `flip: seeds 3, 4: not run`."""
    one = "fold" if results.study.folds else "seed"
    lines: dict[tuple[str, str], list[int]] = {}
    for (arm, replicate), reason in missing(results).items():
        lines.setdefault((arm, reason), []).append(replicate)
    return [
        f"{arm}: {one}{'s' * (len(which) > 1)} {first_few(which, 10)}: {reason}"
        for (arm, reason), which in lines.items()
    ]


def as_json(results: StudyResults, statistics: Statistics) -> dict[str, Any]:
    """Nested numbers and words for `dvc metrics show`: model → arm → figure."""
    models: dict[str, Any] = {}
    for (arm, model, figure), summary in statistics.summaries.items():
        found: dict[str, Any] = {"n": len(summary.values)}
        found |= _rounded({"mean": summary.mean, "sd": summary.deviation})
        comparison = comparison_of(results, statistics, arm, model, figure)
        if comparison and comparison.differences:
            low, high = comparison.interval or (None, None)
            found["n_compared"] = len(comparison.differences)
            found |= _rounded({"difference": comparison.difference, "low": low, "high": high, "p": comparison.p})
        if comparison and comparison.word:
            found["verdict"] = comparison.word
        models.setdefault(model, {}).setdefault(arm, {})[figure] = found
    return {"comparisons": statistics.comparison_count, "missing_cells": len(missing(results)), "models": models}


def as_rows(results: StudyResults, statistics: Statistics) -> list[dict[str, Any]]:
    """The same as rows: model, arm, figure, then its numbers and the verdict."""
    return [
        {"model": model, "arm": arm, "figure": figure, **found}
        for model, arms in as_json(results, statistics)["models"].items()
        for arm, figures in arms.items()
        for figure, found in figures.items()
    ]


def _rounded(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in figures.items() if value is not None}


def cells_table(results: StudyResults) -> pd.DataFrame:
    """A row per complete cell and model: arm, replicate, model, key, then the study's figures, and those on test."""
    rows = []
    for arm in results.arms:
        for replicate, cell in results.of_arm(arm).items():
            for model in results.study.models:
                row: dict[str, Any] = {"arm": arm, "replicate": replicate, "model": model, "key": cell.cell.key}
                row |= {name: cell.figures.get(model, {}).get(name) for name in results.study.metrics}
                on_test = cell.on_test.get(model, {})
                rows.append(row | {f"test_{name}": on_test[name] for name in results.study.metrics if name in on_test})
    return pd.DataFrame(rows).round(DIGITS)


def curves_table(results: StudyResults) -> pd.DataFrame:
    """The learning curves: network, arm, epoch, the mean over replicates of each column, and how many these are.

    Epochs that were validated: a plot of empty cells would fall to 0.
    """
    parts = []
    for arm in results.arms:
        for model in results.study.models:
            curves = [cell.curves[model] for cell in results.of_arm(arm).values() if model in cell.curves]
            if curves:
                grouped = pd.concat(curves).groupby("epoch")
                mean = grouped.mean(numeric_only=True).assign(replicates=grouped.size()).reset_index()
                mean.insert(0, "arm", arm)
                mean.insert(0, "network", model)
                parts.append(mean.dropna())
    return pd.concat(parts, ignore_index=True).round(DIGITS) if parts else pd.DataFrame()
