"""The pictures of a study. Each function returns a matplotlib Figure."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fakeprint.evaluation.plots import BLUE, GREY, ORANGE, robustness_picture
from fakeprint.evaluation.robustness import CLEAN, Robustness
from fakeprint.studies import tables
from fakeprint.studies.arms import lower_is_better
from fakeprint.studies.results import StudyResults
from fakeprint.studies.statistics import CONFIDENCE, Comparison, Statistics
from fakeprint.studies.tables import difference_text, heading, is_share, replicates_text

COLOURS = {"better": BLUE, "worse": ORANGE}  # of verdicts; all others are grey
DARK = "#555555"
# Okabe & Ito's colours, which colour-blind people can tell apart; black is the arm compared to
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LONGEST, LONGEST_IN_HEAT, LONGEST_IN_PANEL = 40, 22, 30  # characters of an arm's name


def short_names(names: Sequence[str], most: int) -> dict[str, str]:
    """Each name with at most this many characters; the short names differ.

    Of keys such as `train.transforms.flip.p=0.5`, as many parts are left out as can be; then the middle of the name.
    """
    shortest = list(names)
    for parts in (3, 2, 1):
        fewer = [_last_parts(name, parts) for name in names]
        if len(set(fewer)) == len(set(names)):
            shortest = fewer
    found: dict[str, str] = {}
    for name, text in zip(names, shortest, strict=True):
        short = text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[len(text) - (most - most // 2) :]}"
        number = 2
        while short in found.values():
            ending = f"…{number}"
            short, number = f"{text[: most - len(ending)]}{ending}", number + 1
        found[name] = short
    return found


def _last_parts(name: str, parts: int) -> str:
    """The name with this many parts of each dotted key that a `=` follows."""
    return re.sub(r"[\w.]+(?==)", lambda key: ".".join(key[0].split(".")[-parts:]), name)


def forest_picture(results: StudyResults, statistics: Statistics, model: str) -> Figure:
    """Differences of the first figure: every seed as a dot, the mean with its interval, and the verdict beside it."""
    study, arms = results.study, [arm for arm in results.arms if arm != results.compare_to]
    first = study.metrics[0]
    figure = Figure(figsize=(10.5, 1.7 + 0.42 * max(2, len(arms))), layout="constrained")
    axes = figure.subplots()
    factor = 100 if is_share(first) else 1
    if study.margin:
        label = f"too small to matter (±{factor * study.margin:g})"
        axes.axvspan(-factor * study.margin, factor * study.margin, color="#eeeeee", zorder=0, label=label)
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    for place, arm in enumerate(arms):
        _draw_difference(axes, statistics.comparisons[arm, model, first], place, factor)
    names = _names(results, arms, LONGEST)
    axes.set_yticks(range(len(arms)), [_with_missing(results, arm, names[arm]) for arm in arms])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    _tidy(axes)
    better = "lower is better" if lower_is_better(first) else "higher is better"
    unit = " in percentage points" if factor == 100 else ""
    one = "fold" if study.folds else "seed"
    axes.set_xlabel(
        f"difference in {heading(first)}{unit} to {_names(results, [results.compare_to], LONGEST)[results.compare_to]} "
        f"({better})\ndots: one {one} each; square: mean with {100 * CONFIDENCE:g} % interval"
    )
    axes.set_title(_title(results, f"{model}: difference of each arm"))
    if study.margin:
        figure.legend(loc="outside lower right", frameon=False, fontsize=8)
    return figure


def _names(results: StudyResults, arms: Sequence[str], most: int) -> dict[str, str]:
    """Each arm's short name in a picture."""
    shown = tables.shown_names(results)
    short = short_names([shown[arm] for arm in arms], most)
    return {arm: short[shown[arm]] for arm in arms}


def _draw_difference(axes: Axes, comparison: Comparison, place: int, factor: float) -> None:
    colour = COLOURS.get(comparison.word or "", DARK)
    seeds = factor * np.array(list(comparison.differences.values()))
    # Dots of equal seeds would hide each other: they are spread a little, below the mean, in the order of the seeds.
    heights = place + 0.2 + 0.12 * (np.arange(len(seeds)) % 2)
    axes.plot(seeds, heights, "o", color=colour, markersize=4, alpha=0.55, markeredgewidth=0)
    if comparison.interval:
        axes.plot(factor * np.array(comparison.interval), [place, place], color=colour, linewidth=2.2)
    if comparison.difference is not None:
        axes.plot(factor * comparison.difference, place, "s", color=colour, markersize=6)
    text = "" if comparison.difference is None else difference_text(comparison)
    beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "annotation_clip": False, "fontsize": 8.5}
    axes.annotate(text, (1.015, place - 0.17), va="center", color=colour, **beside)
    axes.annotate(comparison.word or "", (1.015, place + 0.2), va="center", color=colour, **beside)


def _with_missing(results: StudyResults, arm: str, name: str) -> str:
    n = replicates_text(results, arm)
    return f"{name} ({n})" if " of " in n else name


def _title(results: StudyResults, what: str) -> str:
    return f"{what}\n{results.name}" + (f", {results.title}" if results.title else "")


def _tidy(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", "−")))
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def curves_picture(results: StudyResults, network: str) -> Figure | None:
    """Validation accuracy over the epochs of all arms: the mean over seeds and its range; None without curves.

    Up to six arms and the one compared to share one diagram. More have one each, with that of the latter behind.
    """
    curves = {arm: found for arm in results.arms if len(found := _curve(results, arm, network))}
    if not curves:
        return None
    base = results.compare_to
    others = [arm for arm in curves if arm != base]
    if len(others) <= len(CYCLE):
        figure = Figure(figsize=(9.5, 4.6), layout="constrained")
        axes = figure.subplots()
        names = _names(results, list(curves), LONGEST)
        for arm, colour in [*zip(others, CYCLE, strict=False), *([(base, "black")] if base in curves else [])]:
            _draw_curve(axes, curves[arm], colour, _with_missing(results, arm, names[arm]))
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9)  # below the title
        panels = [axes]
    else:
        columns = 5
        lines = -(-len(others) // columns)
        figure = Figure(figsize=(2.5 * columns, 1.3 + 1.75 * lines), layout="constrained")
        panels = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
        names = _names(results, others, LONGEST_IN_PANEL)
        for axes, arm in zip(panels, others, strict=False):
            if base in curves:
                _draw_curve(axes, curves[base], GREY, "")
            _draw_curve(axes, curves[arm], BLUE, "")
            axes.set_title(_with_missing(results, arm, names[arm]), fontsize=8)
        for axes in panels[len(others) :]:
            axes.set_axis_off()
        for axes in panels[max(0, len(others) - columns) : len(others)]:
            axes.tick_params(axis="x", labelbottom=True)
        panels = panels[: len(others)]
    for axes in panels:
        _over_epochs(axes)
    behind = f"; grey: {_names(results, [base], LONGEST)[base]}" if len(others) > len(CYCLE) and base in curves else ""
    figure.supxlabel(f"epoch (line: mean over seeds; band: lowest to highest{behind})", fontsize=10)
    figure.supylabel("validation accuracy", fontsize=10)
    figure.suptitle(_title(results, f"{network}: learning curves"))
    return figure


def _curve(results: StudyResults, arm: str, network: str) -> pd.DataFrame:
    """epoch, mean, low and high of the validation accuracy over an arm's seeds."""
    found = [cell.curves[network] for cell in results.of_arm(arm).values() if network in cell.curves]
    if not found:
        return pd.DataFrame()
    grouped = pd.concat(found).groupby("epoch")["validation_accuracy"]
    table = pd.DataFrame({"mean": grouped.mean(), "low": grouped.min(), "high": grouped.max()})
    return table.dropna().reset_index()  # the line joins the epochs that were validated


def _draw_curve(axes: Axes, curve: pd.DataFrame, colour: str, label: str) -> None:
    axes.fill_between(curve["epoch"], 100 * curve["low"], 100 * curve["high"], color=colour, alpha=0.13, linewidth=0)
    marker = "o" if len(curve) == 1 else None
    axes.plot(curve["epoch"], 100 * curve["mean"], marker=marker, color=colour, linewidth=1.6, label=label or None)


def _over_epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.grid(color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def path_picture(results: StudyResults, statistics: Statistics, model: str) -> Figure | None:
    """The waterfall of an ablation path: from the first configuration to the last, what each step adds or takes."""
    first, path = results.study.metrics[0], results.path
    factor = 100 if is_share(first) else 1
    means = {arm: mean for arm in path if (mean := statistics.summaries[arm, model, first].mean) is not None}
    if len(means) < 2:
        return None
    steps = tables.step_names(results)
    names = short_names(list(steps.values()), LONGEST)
    figure = Figure(figsize=(10.0, 1.6 + 0.42 * max(3, len(path))), layout="constrained")
    axes = figure.subplots()
    axes.use_sticky_edges = False  # else there is no margin where a bar begins at the first mark, which is cut
    for place, arm in enumerate(path):
        step = statistics.steps.get((arm, model, first))
        if arm not in means:
            axes.annotate("no results", (0.02, place), xycoords=("axes fraction", "data"), va="center", color=GREY)
            continue
        value = factor * means[arm]
        beside: dict[str, Any] = {
            "xycoords": ("axes fraction", "data"),
            "annotation_clip": False,
            "va": "center",
            "fontsize": 8.5,
        }
        text = f"{value:.2f} %" if factor == 100 else f"{value:.4f}"
        if step is None or step.difference is None:
            axes.plot(value, place, "o", color="black", markersize=6)
            axes.annotate(text, (1.015, place), **beside)
            continue
        rises = (step.difference > 0) != lower_is_better(first)
        colour = GREY if step.difference == 0 else BLUE if rises else ORANGE
        start = value - factor * step.difference
        axes.barh(place, value - start, left=start, height=0.5, color=colour)
        axes.plot([start, start], [place - 1, place + 0.25], color=GREY, linewidth=0.8)
        if step.interval:
            axes.plot(start + factor * np.array(step.interval), [place, place], color="black", linewidth=1)
        axes.annotate(f"{text}   {difference_text(step)}", (1.015, place), color=colour, **beside)
    axes.set_yticks(range(len(path)), [_with_missing(results, arm, names[steps[arm]]) for arm in path])
    axes.set_ylim(len(path) - 0.4, -0.6)
    _tidy(axes)
    axes.set_xlabel(
        f"{heading(first)}{' in %' if factor == 100 else ''}, mean; bar: the step from the line above, "
        f"with its {100 * CONFIDENCE:g} % interval\n(blue: better, orange: worse)"
    )
    axes.set_title(_title(results, f"{model}: from the first configuration to the last"))
    return figure


def heat_picture(results: StudyResults, model: str) -> Figure | None:
    """Arm × degradation: mean accuracy over an arm's seeds; None where no arm has predictions of degraded images.

    Arms without any, and degradations that not all shown arms have, are left out.
    """
    means = {arm: found for arm in results.arms if (found := tables.degraded_means(results, arm, model))}
    names = [name for name in next(iter(means.values()), {}) if all(name in found for found in means.values())]
    if not names:
        return None
    names_of_arms = tables.shown_names(results)
    labels = {arm: _with_missing(results, arm, names_of_arms[arm]) for arm in means}
    shown = short_names(list(labels.values()), LONGEST_IN_HEAT)
    figures = {}
    for arm, found in means.items():
        clean = tables.clean_accuracy(results, arm, model)
        row = {CLEAN: {"accuracy": clean}} | {name: {"accuracy": found[name]} for name in names if name != CLEAN}
        figures[shown[labels[arm]]] = row
    figure = robustness_picture(Robustness(figures, 0), f"{model}, mean of each arm\n{_title(results, '').strip()}")
    figure.axes[0].set_xlabel("degradation of the validation images (worst of each arm in bold)")
    return figure
