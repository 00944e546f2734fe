"""The pictures of a decision. Each function returns a matplotlib Figure."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from fakeprint.verdict.certificate import percent
from fakeprint.verdict.deciding import BROKEN, HOLDS, TEST, VALIDATION, Checked
from fakeprint.verdict.decision import Decision
from fakeprint.verdict.selective import Share

BLUE, ORANGE, GREY, GREEN = "#1f5fa8", "#d9641c", "#8a8a8a", "#2e7d4f"
LONGEST = 22  # characters of a name on an axis


def pictures(
    decision: Decision, checked: Mapping[str, Checked], curves: pd.DataFrame, names: list[str], title: str
) -> dict[str, Figure]:
    """All pictures by name.

    checked: by name of the images, validation first. curves: of `deciding.curves`. names: of the C classes. title: of
    the model and its data.
    """
    return {
        "risk_coverage": risk_coverage_picture(decision, checked, curves, title),
        "images": images_picture(decision, checked, title),
        "classes": classes_picture(decision, checked[VALIDATION], names, title),
        "sets": sets_picture(decision, checked, names, title),
    }


def risk_coverage_picture(
    decision: Decision, checked: Mapping[str, Checked], curves: pd.DataFrame, title: str
) -> Figure:
    """Errors among the answers over the share of images answered, a line per set of images, with the threshold."""
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes = figure.subplots()
    degraded = [name for name in checked if name not in (VALIDATION, TEST)]
    # light to dark, by the error of all images
    order = sorted(degraded, key=lambda name: _last(curves, name))
    colours = {name: colormaps["YlOrBr"](0.35 + 0.6 * row / max(1, len(order) - 1)) for row, name in enumerate(order)}
    for name in checked:
        colour = colours.get(name, BLUE if name == VALIDATION else "black")
        width, height = (2.4, 4) if name == VALIDATION else (1.4, 3)
        curve, at = curves[curves["images"] == name], checked[name].selected
        axes.plot(curve["coverage"], curve["risk"], color=colour, linewidth=width, label=_short(name), zorder=height)
        if at.coverage.share and at.error.share is not None:
            axes.plot(at.coverage.share, at.error.share, "o", color=colour, clip_on=False, zorder=5)
    _limit_line(axes, decision, "h")
    axes.set(xlim=(0, 1), ylim=(0, max(0.02, 1.1 * _highest(curves))))
    axes.set_xlabel("coverage: share of the images answered, the surest first")
    axes.set_ylabel("risk: share of these answers that are wrong")
    _in_per_cent(axes.xaxis, axes.yaxis)
    _clean(axes)
    lines = dict(zip([VALIDATION, TEST, *reversed(order)], range(len(checked) + 1), strict=False))
    handles, names = axes.get_legend_handles_labels()
    shown = sorted(zip(checked, handles, names, strict=True), key=lambda each: lines[each[0]])
    figure.legend(
        *zip(*[each[1:] for each in shown], strict=True), loc="outside right upper", frameon=False, fontsize=9
    )
    threshold = decision.certificate.threshold if decision.certificate else None
    note = "no threshold is certified" if threshold is None else f"dots: answers from a score of {threshold:g}"
    axes.set_title(f"Risk and coverage, {title}\n{note}", fontsize=11)
    return figure


def images_picture(decision: Decision, checked: Mapping[str, Checked], title: str) -> Figure:
    """Coverage and errors of the answers on each set of images, and whether the certificate's promise holds there."""
    figure, left, right = _two_panels(1.9 + 0.42 * len(checked))
    confidence = percent(decision.certificate.confidence) if decision.certificate else ""
    for row, (name, each) in enumerate(checked.items()):
        colour = {HOLDS: GREEN, BROKEN: ORANGE}.get(each.outcome, GREY)
        _draw(left, each.selected.coverage, row, BLUE)
        error = each.selected.error
        _draw(right, Share(error.share, each.bounds, error.images), row, colour)
        right.annotate(
            "certified here" if name == VALIDATION and each.outcome == HOLDS else each.outcome,
            (1.02, row), xycoords=("axes fraction", "data"), va="center", color=colour, fontsize=9,
        )  # fmt: skip
    _limit_line(right, decision, "v")
    left.set_yticks(range(len(checked)), [_short(name) for name in checked])
    left.set_ylim(len(checked) - 0.5, -0.5)
    left.set_xlabel("coverage: share of the images answered")
    right.set_xlabel(f"share of the answers that are wrong\nends: one-sided {confidence} bounds, which decide")
    left.set_xlim(0, 1.02)
    right.set_xlim(left=0)
    for axes in (left, right):
        _in_per_cent(axes.xaxis)
        _clean(axes)
    line = decision.certificate.claim if decision.certificate and decision.certificate.threshold is not None else ""
    threshold = f"from a score of {decision.threshold:g}, {line}" if line else "no threshold is certified: all answered"
    figure.suptitle(f"Answers on clean and degraded images, {title}\n{threshold}", fontsize=11)
    return figure


def classes_picture(decision: Decision, checked: Checked, names: list[str], title: str) -> Figure:
    """Coverage of each class, and the errors among its answers, on validation."""
    figure, left, right = _two_panels(1.9 + 0.5 * len(names))
    each = checked.selected
    for row in range(len(names)):
        _draw(left, each.class_coverage[row], row, BLUE)
        _draw(right, each.class_error[row], row - 0.14, BLUE)
        _draw(right, each.named_error[row], row + 0.14, GREY, "s")
    _limit_line(right, decision, "v")
    left.set_yticks(range(len(names)), [_short(name) for name in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlabel("coverage: share of the class's images answered")
    right.set_xlabel("share that is wrong\ncircle: of its images answered; square: of the answers that name it")
    left.set_xlim(0, 1.02)
    right.set_xlim(left=0)
    for axes in (left, right):
        _in_per_cent(axes.xaxis)
        _clean(axes)
    figure.suptitle(f"Answers by class on validation images, {title}", fontsize=11)
    return figure


def sets_picture(decision: Decision, checked: Mapping[str, Checked], names: list[str], title: str) -> Figure:
    """How often sets hold the class: on each set of images, and by class on validation; with their mean sizes."""
    rows = max(len(checked), len(names))
    figure = Figure(figsize=(10.4, 2.0 + 0.42 * rows), layout="constrained")
    left, right = figure.subplots(1, 2)
    of_images = [(name, each.sets.coverage, each.sets.size) for name, each in checked.items()]
    own = checked[VALIDATION].sets
    of_classes = list(zip(names, own.class_coverage, own.class_size, strict=True))
    requested = 1 - decision.sets.error if decision.sets else 1.0
    panels = ((left, of_images, "all images"), (right, of_classes, "validation, by class"))
    lowest = min((each.interval[0] for _, entries, _ in panels for _, each, _ in entries if each.interval), default=0.0)
    for axes, entries, heading in panels:
        for row, (_, coverage, size) in enumerate(entries):
            _draw(axes, coverage, row, BLUE)
            text = "no images" if np.isnan(size) else f"{size:.2f}"
            axes.annotate(text, (1.03, row), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=GREY)
        axes.annotate("mean\nsize", (1.03, 1.0), xycoords="axes fraction", va="bottom", fontsize=8, color=GREY)
        axes.axvline(requested, color=ORANGE, linestyle="--", linewidth=1.2)
        axes.set_yticks(range(len(entries)), [_short(name) for name, _, _ in entries])
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_xlim(max(0.0, lowest - 0.03), 1.005)
        _in_per_cent(axes.xaxis)
        axes.set_title(heading, fontsize=10)
        _clean(axes)
    figure.supxlabel(
        f"share of images whose set holds their class; dashed: requested, {percent(requested)}", fontsize=10
    )
    figure.suptitle(f"Sets of classes, {title}", fontsize=11)
    return figure


def _two_panels(height: float) -> tuple[Figure, Axes, Axes]:
    figure = Figure(figsize=(9.6, height), layout=ConstrainedLayoutEngine(wspace=0.06))
    left, right = figure.subplots(1, 2, sharey=True)
    return figure, left, right


def _draw(axes: Axes, share: Share, row: float, colour: str, marker: str = "o") -> None:
    if share.share is None or share.interval is None:
        axes.plot([], [])
        return
    axes.plot(share.interval, [row, row], color=colour, linewidth=2, solid_capstyle="round", clip_on=False)
    axes.plot(share.share, row, marker, color=colour, markersize=6, clip_on=False)


def _limit_line(axes: Axes, decision: Decision, direction: str) -> None:
    """A dashed line at the largest share of errors that the certificate allows."""
    if decision.certificate is None:
        return
    draw = axes.axhline if direction == "h" else axes.axvline
    limit = decision.certificate.max_error
    draw(limit, color=ORANGE, linestyle="--", linewidth=1.2, zorder=0)
    place = {"h": ((1.005, limit), ("axes fraction", "data")), "v": ((limit, 1.0), ("data", "axes fraction"))}[
        direction
    ]
    axes.annotate(
        f"{percent(limit)}\nallowed" if direction == "h" else f"{percent(limit)} allowed",
        place[0],
        xycoords=place[1],
        ha="left" if direction == "h" else "center",
        va="center" if direction == "h" else "bottom",
        color=ORANGE,
        fontsize=8,
    )


def _highest(curves: pd.DataFrame) -> float:
    """The highest risk from a coverage of 10 % on: fewer images tell little."""
    return float(curves.loc[curves["coverage"] >= 0.1, "risk"].max())


def _last(curves: pd.DataFrame, name: str) -> float:
    """The risk where all images are answered."""
    return float(curves.loc[curves["images"] == name, "risk"].iloc[-1])


def _in_per_cent(*axes: Axis) -> None:
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))


def _clean(axes: Axes) -> None:
    axes.grid(color="#e4e4e4")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
