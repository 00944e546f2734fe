"""The pictures of an evaluation. Each function returns a matplotlib Figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from fakeprint.data.arrays import WholeImages
from fakeprint.evaluation.intervals import Interval
from fakeprint.evaluation.leaderboard import Leaderboard
from fakeprint.evaluation.metrics import confusion, row_shares
from fakeprint.evaluation.predictions import Predictions
from fakeprint.evaluation.robustness import Robustness

BLUE, ORANGE, GREY = "#1f5fa8", "#d9641c", "#8a8a8a"
LONGEST = 22  # characters of a class or model name on an axis

# Inches, of the picture of mistakes: width and height of a cell, the side of its image, and what stands above them.
CELL, MISTAKE, ABOVE_MISTAKE, MISTAKES_TITLE = (2.1, 2.65), 2.02, 0.4, 0.6
LARGE = 512  # pixels, of a side; larger images are averaged where they are drawn smaller


def confusion_picture(counts: np.ndarray, names: list[str], title: str, normalised: bool) -> Figure:
    """The confusion matrix, coloured by each row's shares; counts int (C, C), rows actual.

    The numbers in the cells are the counts or, if normalised, the shares in per cent.
    """
    side = 2.4 + max(4 * 0.55, len(names) * 0.55)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    _draw_confusion(axes, counts, names, normalised)
    axes.set_title(title)
    return figure


def _draw_confusion(axes: Axes, counts: np.ndarray, names: list[str], normalised: bool) -> None:
    shares = row_shares(counts)
    # A square-root scale: on a linear one a share of 5 % looks like 0.
    image = axes.imshow(np.nan_to_num(shares), cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            _cell(int(counts[row, column]), share, normalised),
            ha="center",
            va="center",
            color="white" if share > 0.3 else "black" if share > 0 else GREY,
            fontsize=9 if len(names) <= 12 else 7,
        )
    _name_both_axes(axes, names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("actual class")
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=PercentFormatter(1, decimals=0))
    bar.set_label("share of the actual class")


def _cell(count: int, share: float, normalised: bool) -> str:
    if not normalised:
        return str(count)
    if np.isnan(share):
        return "–"
    return f"{100 * share:.1f}" if count else "0"


def _name_both_axes(axes: Axes, names: list[str]) -> None:
    shown = [_short(name) for name in names]
    slanted = max(map(len, shown)) > (3 if len(names) > 5 else 6)
    axes.set_xticks(range(len(names)), shown, rotation=45 if slanted else 0, ha="right" if slanted else "center")
    axes.set_yticks(range(len(names)), shown)
    if slanted:
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")


def _short(name: str, most: int = LONGEST) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def reliability_picture(bins: pd.DataFrame, error: float, title: str, interval: Interval | None = None) -> Figure:
    """The reliability plot: accuracy per bin of confidence against the diagonal, and below it the images per bin.

    bins: what `metrics.reliability` gives. error: the expected calibration error, in [0, 1]; interval: of it.
    """
    figure = Figure(figsize=(5.6, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    middle, width = (bins["low"] + bins["high"]) / 2, (bins["high"] - bins["low"]).iloc[0] * 0.94
    above.bar(middle, bins["accuracy"].fillna(0), width=width, color="#a9c8e8", label="accuracy of the bin")
    above.plot(
        bins["confidence"],
        bins["accuracy"],
        "o",
        color=BLUE,
        markersize=5,
        clip_on=False,
        label="at its mean confidence",
    )
    above.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--", label="perfectly calibrated")
    above.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    bounds = f" ({100 * interval[0]:.1f} – {100 * interval[1]:.1f} %)" if interval else ""
    above.set_title(f"{title}\nexpected calibration error {100 * error:.1f} %{bounds}")
    below.bar(middle, bins["images"], width=width, color=GREY)
    below.set(xlabel="confidence (largest probability)", ylabel="images")
    for axis in (above.xaxis, above.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    return figure


@dataclass(frozen=True)
class Mistake:
    """One wrongly classified image: row in its split, class indices, probability of the predicted class."""

    row: int
    actual: int
    predicted: int
    confidence: float


def most_confident_mistakes(actual: np.ndarray, probabilities: np.ndarray, most: int) -> list[Mistake]:
    """The wrongly classified images, highest confidence first, ties in the order of the images.

    actual: int (N,). probabilities: float (N, C). most: maximum number.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != actual)
    first = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    return [Mistake(int(row), int(actual[row]), int(predicted[row]), float(confidence[row])) for row in first]


def mistakes_picture(
    mistakes: Sequence[Mistake], images: np.ndarray | WholeImages, image_ids: np.ndarray, names: list[str], title: str
) -> Figure:
    """A grid of misclassified images, highest confidence first, each with its actual and predicted class.

    images: uint8 (N, H, W, 3), or whole images of any sizes, image_ids: str (N,), of the split that the mistakes' rows
    refer to.
    """
    (across, down), columns = CELL, min(5, max(1, len(mistakes)))
    width, height = max(6.0, across * columns), MISTAKES_TITLE + down * max(1, -(-len(mistakes) // columns))
    # One panel in inches for all images: a panel each, with a layout, takes ten times as long.
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for number, mistake in enumerate(mistakes):
        middle = width / 2 + across * (number % columns - (columns - 1) / 2)
        top = MISTAKES_TITLE + down * (number // columns) + ABOVE_MISTAKE
        image = images[mistake.row]
        # Images that keep their size have sides of different lengths, and may be large.
        high, wide = (MISTAKE * side / max(image.shape[:2]) for side in image.shape[:2])
        gap = (MISTAKE - high) / 2
        sides = (middle - wide / 2, middle + wide / 2, top + MISTAKE - gap, top + gap)
        axes.imshow(image, interpolation="nearest" if max(image.shape) <= LARGE else "antialiased", extent=sides)
        actual, predicted = (_short(names[index], 19) for index in (mistake.actual, mistake.predicted))
        above = f"actual: {actual}\npredicted: {predicted}"
        axes.text(middle, top - 0.03, above, ha="center", va="bottom", fontsize=8.5)
        below = f"confidence {100 * mistake.confidence:.0f} %, {_short(str(image_ids[mistake.row]), 19)}"
        axes.text(middle, top + MISTAKE + 0.06, below, ha="center", va="top", fontsize=7)
    if not mistakes:
        axes.text(width / 2, (MISTAKES_TITLE + height) / 2, "no mistakes to show", ha="center", va="center")
    axes.text(width / 2, MISTAKES_TITLE / 2, title, fontsize=13, ha="center", va="center")
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def leaderboard_pictures(board: Leaderboard, champion: Predictions, title: str) -> dict[str, Figure]:
    """The pictures of `compare` by name. champion: its predictions of validation. title: of the data."""
    counts = confusion(champion.labels, champion.predicted, len(board.names))
    return {
        "leaderboard": leaderboard_picture(board, title),
        "recall": recall_picture(board, title),
        "summary": summary_picture(board, counts, title),
    }


def leaderboard_picture(board: Leaderboard, title: str) -> Figure:
    """Validation accuracy of every model with its interval, the champion on top in another colour.

    Where known, a square marks the test accuracy, and an open circle the validation accuracy on the worst degradation,
    each with its interval.
    """
    figure = Figure(figsize=(7.6, 1.9 + _row_height(board) * max(3, len(board.standings))), layout="constrained")
    axes = figure.subplots()
    _draw_leaderboard(axes, board)
    axes.set_title(f"Leaderboard\n{title}")
    return figure


def _row_height(board: Leaderboard) -> float:
    return 0.46 if board.test_images else 0.36


def _draw_leaderboard(axes: Axes, board: Leaderboard) -> None:
    up = 0.17 if board.test_images else 0.0
    ends: list[float] = []

    def draw(share: float, pair: Interval | None, height: float, colour: str, marker: str) -> None:
        if pair:
            width = 1.2 if marker == "open" else 2.5
            axes.plot(pair, [height, height], color=colour, linewidth=width, solid_capstyle="round")
        face = "white" if marker == "open" else colour
        size = 5.5 if marker == "s" else 6.5
        axes.plot(share, height, "s" if marker == "s" else "o", color=colour, markerfacecolor=face, markersize=size)
        ends.extend([share, *(pair or ())])

    def label(share: float, height: float, colour: str) -> None:
        place: dict[str, Any] = {"xy": (1.01, height), "xycoords": ("axes fraction", "data")}
        size = 8 if board.test_images else 9
        axes.annotate(f"{100 * share:.1f} %", **place, va="center", color=colour, fontsize=size)

    for place, row in enumerate(board.standings):
        colour = ORANGE if place == 0 else BLUE
        if row.worst:
            draw(row.worst.accuracy, row.worst.interval, place - up, colour, "open")
        draw(row.accuracy, (row.low, row.high), place - up, colour, "o")
        label(row.accuracy, place - up, colour)
        if row.test:
            share = row.test.figures["accuracy"]
            draw(share, row.test.intervals["accuracy"], place + up, colour, "s")
            label(share, place + up, colour)
    axes.set_yticks(range(len(board.standings)), [_short(row.name) for row in board.standings])
    axes.set_ylim(len(board.standings) - 0.4, -0.6)
    _share_axis(axes, min(ends), max(ends))
    marks = ["circle: validation", "square: test"] if board.test_images else []
    marks += ["open circle: validation, worst degradation"] if board.degraded else []
    images = f"{board.images} validation" + (f" and {board.test_images} test" if board.test_images else "") + " images"
    caption = f"accuracy on {images}, {100 * board.confidence:g} % intervals"
    axes.set_xlabel("\n".join([caption, "; ".join(marks)] if marks else [caption]))


def _share_axis(axes: Axes, least: float, most: float, ticks: int = 7) -> None:
    """The horizontal axis from `least` to `most`, shares in [0, 1] shown in per cent, with room at both ends."""
    room = 0.04 * (most - least) + 0.002
    axes.set_xlim(max(-0.004, least - room), min(1.004, most + room))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def recall_picture(board: Leaderboard, title: str) -> Figure:
    """Validation recall of every class by every model with its interval: one panel per class, best model on top."""
    rows, classes = board.standings, len(board.names)
    columns = min(5, classes)
    lines = -(-classes // columns)
    size = (1.6 + max(4.2, 2.2 * columns), 1.1 + lines * (0.55 + 0.27 * max(3, len(rows))))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat
    least = min(pair[0] for row in rows for pair in row.recall_intervals if pair)
    for axes in panels[classes:]:
        axes.set_axis_off()
    for index, name in enumerate(board.names):
        axes = panels[index]
        for place, row in enumerate(rows):
            pair, colour = row.recall_intervals[index], ORANGE if place == 0 else BLUE
            if pair:
                axes.plot(pair, [place, place], color=colour, linewidth=2, solid_capstyle="round")
                axes.plot(row.recall[index], place, "o", color=colour, markersize=5)
        if not any(row.recall_intervals[index] for row in rows):
            axes.text(0.5, 0.5, "no images", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_title(_short(name), fontsize=10)
        axes.tick_params(axis="x", labelsize=8, labelbottom=True)
        _share_axis(axes, least, 1.0, ticks=4)
        axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
    figure.supxlabel(f"recall on validation images, {100 * board.confidence:g} % intervals", fontsize=10)
    figure.suptitle(f"Recall per class\n{title}")
    return figure


def robustness_picture(table: Robustness, title: str) -> Figure:
    """A heat map of every model's accuracy (%) on every degradation, with intervals; clean images in the first column.

    Models are in the order of their clean accuracy, the best on top; degradations by name, so that similar ones are
    neighbours.
    """
    shares = table.accuracies().reshape(-1, len(table.cells))
    order = np.argsort(-shares[:, 0], kind="stable")
    columns = [0, *sorted(range(1, len(table.cells)), key=table.cells.__getitem__)]
    shares, models = shares[order][:, columns], np.array(list(table.figures), dtype=object)[order]
    height, width = shares.shape
    figure = Figure(figsize=(3.0 + 0.68 * max(5, width), 2.0 + 0.42 * max(3, height)), layout="constrained")
    axes = figure.subplots()
    low, high = float(shares.min(initial=1.0)), float(shares.max(initial=0.0))
    image = axes.imshow(shares, cmap="viridis", vmin=low, vmax=max(high, low + 0.01), aspect="auto")
    middle = low + 0.55 * (high - low)
    for (row, column), share in np.ndenumerate(shares):
        worst = width > 1 and column == 1 + int(shares[row, 1:].argmin())
        pair = table.interval(str(models[row]), table.cells[columns[column]])
        look: dict[str, Any] = {"ha": "center", "va": "center", "color": "black" if share > middle else "white"}
        weight = "bold" if worst else "normal"
        axes.text(column, row - 0.13 if pair else row, f"{100 * share:.1f}", fontsize=9, fontweight=weight, **look)
        if pair:
            axes.text(column, row + 0.27, f"{100 * pair[0]:.0f}–{100 * pair[1]:.0f}", fontsize=6.5, **look)
    axes.axvline(0.5, color="white", linewidth=4)
    axes.set_xticks(
        range(width),
        [_short(table.cells[column]) for column in columns],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(height), [_short(model) for model in models])
    axes.set_xlabel("degradation of the validation images (worst per model in bold, interval below)")
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1, decimals=0))
    bar.set_label("accuracy")
    axes.set_title(f"Accuracy on degraded images (%)\n{title}")
    return figure


def summary_picture(board: Leaderboard, counts: np.ndarray, title: str) -> Figure:
    """The leaderboard and the champion's confusion matrix (counts int (C, C), rows actual), for the README."""
    side = max(5.0, 2.2 + 0.5 * len(board.names), 1.5 + _row_height(board) * len(board.standings))
    figure = Figure(figsize=(6.4 + side + 1.0, side), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[6.4, side + 1.0])
    _draw_leaderboard(left, board)
    left.set_title("Leaderboard")
    _draw_confusion(right, counts, board.names, normalised=False)
    right.set_title(f"Confusion matrix of the champion, {_short(board.champion.name)}")
    figure.suptitle(title, fontsize=13)
    return figure
