"""Pictures of one model in the open world: AUROC of every score and class, and the curves behind it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.metrics import roc_curve

from fakeprint.verdict.open_world import LeftOut

MOST_CLASSES = 10  # curves in one panel
LONGEST = 22  # characters of a class name


def short(name: str) -> str:
    """A name as pictures show it."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def heat_picture(rows: pd.DataFrame, title: str) -> Figure:
    """AUROC, in per cent, of each score (rows) on each left-out class (columns), the mean over classes last.

    rows: what `open_world.table` gives. White is chance, 50 %; blue better, red worse.
    """
    cells = rows.pivot(index="score", columns="left_out", values="auroc")
    cells = cells.loc[list(dict.fromkeys(rows["score"])), list(dict.fromkeys(rows["left_out"]))]
    figure = Figure(figsize=(2.8 + 0.95 * len(cells.columns), 1.7 + 0.5 * len(cells)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(cells.to_numpy(), cmap="RdBu", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(cells.to_numpy()):
        colour = "white" if abs(value - 0.5) > 0.35 else "black"
        axes.text(column, row, f"{100 * value:.1f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(cells.columns)), [short(str(each)) for each in cells.columns], rotation=30, ha="right")
    axes.set_yticks(range(len(cells)), cells.index)
    axes.set(xlabel="class that training never saw", title=f"AUROC of unknown against known images, %\n{title}")
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=PercentFormatter(1, decimals=0))
    return figure


def curves_picture(results: Sequence[LeftOut], labels: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """ROC curves, one panel per score and one curve per left-out class (the first ten).

    labels: int (N,), of the validation images. names: of all classes.
    """
    scores = list(results[0].scores)
    figure = Figure(figsize=(2.0 + 3.1 * len(scores), 3.9), layout="constrained")
    panels = figure.subplots(1, len(scores), squeeze=False, sharex=True, sharey=True)[0]
    for axes, score in zip(panels, scores, strict=True):
        for each in results[:MOST_CLASSES]:
            alarms, found, _ = roc_curve(labels == each.number, each.scores[score])
            axes.plot(alarms, found, linewidth=1.3, label=short(names[each.number]))
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
        axes.set(title=score, xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].set_ylabel("unknown images found")
    figure.supxlabel("known images called unknown", fontsize=10)
    handles, shown = panels[0].get_legend_handles_labels()
    figure.legend(handles, shown, title="left out", loc="outside right center", frameon=False)
    figure.suptitle(title)
    return figure
