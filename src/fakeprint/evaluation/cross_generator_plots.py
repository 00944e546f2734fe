"""Heat maps of detectors (rows) and the generators that they are tested on (columns)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

NAMES = {"auc": "AUC", "balanced_accuracy": "balanced accuracy at a probability of 0.5"}
LONGEST = 22  # characters of a name
SHORT = 6  # characters that stand side by side
MOST_COLUMNS = 3  # panels side by side


def heat_picture(rows: pd.DataFrame, figure_name: str, title: str) -> Figure:
    """One panel per anchor; cells in per cent, the detector's own generator framed.

    rows: what `cross_generator.table` gives. figure_name: auc or balanced_accuracy. White is chance, 50 %.
    """
    anchors = list(dict.fromkeys(rows["anchor"]))
    across = min(MOST_COLUMNS, len(anchors))
    down = -(-len(anchors) // across)
    most = max(len(rows[rows["anchor"] == anchor]["tested_on"].unique()) for anchor in anchors)
    side = 1.9 + 0.62 * most
    figure = Figure(figsize=(max(5.0, across * side + 0.6), down * side + 0.9), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, anchor in zip(panels, anchors, strict=False):
        _draw(axes, rows[rows["anchor"] == anchor], figure_name)
        axes.set_title(f"against {_short(anchor)}", fontsize=10)
    for axes in panels[len(anchors) :]:
        axes.set_axis_off()
    figure.supxlabel("tested on", fontsize=10)
    figure.supylabel("trained on", fontsize=10)
    figure.suptitle(f"{title}\n{NAMES[figure_name]}, %; framed: the generator it was trained on")
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, figure_name: str) -> None:
    cells = rows.pivot(index="trained_on", columns="tested_on", values=figure_name)
    names = list(dict.fromkeys(rows["trained_on"]))
    values = cells.loc[names, names].to_numpy()
    axes.imshow(values, cmap="RdBu", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value - 0.5) > 0.35 else "black"
        weight = "bold" if row == column else "normal"
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, weight=weight, fontsize=9)
        if row == column:
            axes.plot(
                column + np.array([-0.47, 0.47, 0.47, -0.47, -0.47]),
                row + np.array([-0.47, -0.47, 0.47, 0.47, -0.47]),
                color="black",
                linewidth=1.5,
            )
    shown = [_short(name) for name in names]
    slanted = max(map(len, shown)) > SHORT
    rotation, place = (30, "right") if slanted else (0, "center")
    axes.set_xticks(range(len(names)), shown, rotation=rotation, ha=place, fontsize=8)
    axes.set_yticks(range(len(names)), shown, fontsize=8)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
