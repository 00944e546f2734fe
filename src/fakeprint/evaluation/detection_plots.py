"""Plots of real against fake: ROC and detection error tradeoff. Each function returns a matplotlib Figure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, PercentFormatter
from scipy.special import ndtr, ndtri

from fakeprint.evaluation.detection import RATES, Curve
from fakeprint.evaluation.detection_report import Detection
from fakeprint.evaluation.plots import BLUE, GREY, LONGEST, ORANGE

COLOURS = ("#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#333333", "#98df8a")
LOWEST = 1e-3  # lowest false positive rate on the ROC's axis
DET_TICKS = np.array([0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
DET_LIMITS = (0.0007, 0.85)  # rates outside are drawn on the border


def pictures(detections: Mapping[str, Detection], title: str) -> dict[str, Figure]:
    """`roc` and `det` of the validation images, `roc_test` and so on of another split. title: of model and data."""
    drawn = {}
    for split, detection in detections.items():
        ending = "" if split == "validation" else f"_{split}"
        drawn[f"roc{ending}"] = roc_picture(
            detection.curves, detection.figures, f"ROC, real against fake, {split} images\n{title}"
        )
        drawn[f"det{ending}"] = det_picture(
            detection.curves, detection.figures, f"Detection errors, real against fake, {split} images\n{title}"
        )
    return drawn


def roc_picture(curves: Sequence[Curve], figures: dict[str, Any], title: str) -> Figure:
    """True positive rate over false positive rate, the latter on a logarithmic axis, since only low rates are useful.

    The curve has steps, because images of one score share a threshold. The points are those of `figures` at 1 and 5 %,
    with their intervals; the grey range is less than one real image.

    curves: all images first, then one of each generator. figures: see `Detection`.
    """
    figure, axes = _panel()
    for curve, style in _styled(curves):
        fpr = np.maximum(curve.fpr, LOWEST / 10)
        axes.plot(fpr, curve.tpr, drawstyle="steps-post", **style)
    chance = np.geomspace(LOWEST, 1, 200)
    axes.plot(chance, chance, color="black", linewidth=1, linestyle="--", label="chance")
    for key, rate in RATES.items():
        axes.plot(rate, figures[key], "o", color=ORANGE, markersize=7, zorder=4, clip_on=False)
        if interval := figures.get("intervals", {}).get(key):
            axes.plot([rate, rate], interval, color=ORANGE, linewidth=1.5, zorder=4)
        axes.annotate(
            f"{100 * figures[key]:.1f} %",
            (rate, figures[key]),
            xytext=(7, -4),
            textcoords="offset points",
            va="top",
            color=ORANGE,
            fontsize=9,
            zorder=5,
        )
    _shade(axes, 1 / curves[0].real)
    axes.set_xscale("log")
    axes.set(xlim=(LOWEST, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.05, 0.1, 1.0]))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("false positive rate (real images classified as fake)")
    axes.set_ylabel("true positive rate (fake images detected)")
    axes.set_title(f"{title}\nAUC {_with_interval(figures, 'auc', 1, 4)}")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def det_picture(curves: Sequence[Curve], figures: dict[str, Any], title: str) -> Figure:
    """False negative over false positive rate on normal deviate axes (Martin et al. 1997).

    On these axes Gaussian scores give a straight line. The point is the equal error rate of `figures`. curves: all
    images first, then one of each generator.
    """
    figure, axes = _panel()
    for curve, style in _styled(curves):
        axes.plot(deviate(curve.fpr), deviate(1 - curve.tpr), **style)
    low, high = deviate(np.array(DET_LIMITS))
    axes.plot([low, high], [low, high], color="black", linewidth=1, linestyle="--", label="equal errors")
    eer = deviate(np.array([figures["eer"]]))[0]
    axes.plot(eer, eer, "o", color=ORANGE, markersize=7, zorder=4, clip_on=False)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(ndtri(DET_TICKS).tolist()))
        axis.set_major_formatter(FuncFormatter(lambda deviate, _: f"{100 * ndtr(deviate):.3g}"))
    axes.set_xlabel("false positive rate, % (real images classified as fake)")
    axes.set_ylabel("false negative rate, % (fake images missed)")
    axes.set_title(f"{title}\nequal error rate {_with_interval(figures, 'eer', 100, 2)} %")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.8, 6.4), layout="constrained")
    axes = figure.subplots()
    axes.grid(color="#dddddd")
    axes.set_axisbelow(True)
    return figure, axes


def _styled(curves: Sequence[Curve]) -> Iterator[tuple[Curve, dict[str, Any]]]:
    """Each curve with its line's style and label: all images in bold, generators thin in colours of their own."""
    yield curves[0], {"color": BLUE, "linewidth": 2.5, "zorder": 3, "label": _label(curves[0])}
    for colour, curve in zip(COLOURS, curves[1:], strict=False):
        yield curve, {"color": colour, "linewidth": 1.2, "label": _label(curve)}


def _label(curve: Curve) -> str:
    name = curve.name if len(curve.name) <= LONGEST else curve.name[: LONGEST - 1] + "…"
    return f"{name} ({curve.fake} fake, {curve.real} real)"


def _with_interval(figures: dict[str, Any], key: str, scale: float, digits: int) -> str:
    text = f"{scale * figures[key]:.{digits}f}"
    if interval := figures.get("intervals", {}).get(key):
        text += f" ({scale * interval[0]:.{digits - 1}f} – {scale * interval[1]:.{digits - 1}f})"
    return text


def _shade(axes: Axes, one: float) -> None:
    if one > LOWEST:
        axes.axvspan(LOWEST, one, color=GREY, alpha=0.15, linewidth=0, label="less than one real image")


def deviate(rates: np.ndarray) -> np.ndarray:
    """Rates in [0, 1] as quantiles of the normal distribution; rates beyond the axes are moved to their border."""
    return np.asarray(ndtri(np.clip(rates, *DET_LIMITS)))
