"""The report of `validate`: class counts, sample images, channel means, sizes, audits, and tables of what it found."""

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fakeprint import seeds
from fakeprint.data.arrays import SPLITS
from fakeprint.data.duplicates import duplicates_table
from fakeprint.data.scan import each_file, thumbnail
from fakeprint.data.sources import Source, class_names
from fakeprint.data.validation import Checked, Validation, channel_figures
from fakeprint.files import write_csv, write_figure, written_folder
from fakeprint.params import Data, Validate

CHANNELS = {"red": "#c8382e", "green": "#2e8b57", "blue": "#3465a4"}
SPLIT_COLOURS = {"train": "#3465a4", "validation": "#e08a1e", "test": "#777777"}
DPI = 110
SAMPLE_SIDE = 200  # pixels, at most, of a sample image


def write(found: Validation, source: Source, data: Data, limits: Validate, seed: int, folder: Path) -> None:
    """Write all pictures as PNG, and set_aside.csv, duplicates.csv and leaks.csv."""
    names = class_names(data, found.classes)
    drawn = sample_images(found, source, data.max_pixels, limits.sample_images, seed)
    pictures = {
        "class_counts": class_counts(found.manifest, found.classes, names),
        "samples": samples(drawn, names),
        "channels": channels(found, names),
        "sizes": sizes(found, names),
        "audits": audits(found, limits.max_shortcut_excess),
    }
    with written_folder(folder) as partial_folder:
        for name, figure in pictures.items():
            write_figure(partial_folder / f"{name}.png", figure, DPI)
        write_csv(partial_folder / "set_aside.csv", found.set_aside)
        write_csv(partial_folder / "duplicates.csv", duplicates_table(found.pairs, found.compared))
        write_csv(partial_folder / "leaks.csv", found.leaked)


def write_set_aside(checked: Checked, folder: Path) -> None:
    """Write a report of only set_aside.csv, for a source with too many bad files."""
    with written_folder(folder) as partial_folder:
        write_csv(partial_folder / "set_aside.csv", checked.set_aside)


def sample_images(
    found: Validation, source: Source, max_pixels: int, per_class: int, seed: int
) -> list[list[np.ndarray]]:
    """Up to `per_class` train images of each class, drawn at random, uint8 (H, W, 3), shrunk to `SAMPLE_SIDE`."""
    train = found.manifest[found.manifest["split"] == "train"]
    drawn = []
    for label in found.classes:
        of_class = train.loc[train["label"] == label, "path"].to_numpy(dtype=object)
        rng = seeds.generator(seed, f"validate/samples/{label}")
        drawn.append(sorted(rng.permutation(of_class)[:per_class]))
    paths = [path for chosen in drawn for path in chosen]
    use = partial(thumbnail, max_pixels=max_pixels, side=SAMPLE_SIDE)
    results = iter(each_file(source.container, paths, max_pixels, use, 1, "sample pictures"))
    pictures = [list(itertools.islice(results, len(chosen))) for chosen in drawn]
    return [[picture for picture in row if not isinstance(picture, str)] for row in pictures]


def class_counts(manifest: pd.DataFrame, classes: list[str], names: list[str]) -> Figure:
    """Images of each class in each split, as bars side by side; unlabelled images in a bar of their own."""
    present = [split for split in SPLITS if (manifest["split"] == split).any()]
    unlabelled = bool(manifest["label"].isna().any())
    shown = [*names, "no label"] if unlabelled else names
    figure = Figure(figsize=(max(6.5, 0.9 * len(shown) + 2), 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(present)
    for number, split in enumerate(present):
        labels = manifest.loc[manifest["split"] == split, "label"]
        counts = [int((labels == label).sum()) for label in classes]
        counts += [int(labels.isna().sum())] * unlabelled
        places = np.arange(len(shown)) + (number - (len(present) - 1) / 2) * width
        bars = axes.bar(places, counts, width, label=f"{split} ({len(labels):,})", color=SPLIT_COLOURS[split])
        if len(shown) <= 10:
            axes.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize=7, padding=1)
    _name_ticks(axes, shown)
    axes.set(xlabel="class", ylabel="images")
    axes.margins(y=0.1)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    axes.set_title("Images of each class and split")
    return figure


def samples(pictures: Sequence[Sequence[np.ndarray]], names: list[str]) -> Figure:
    """Train images of each class, one row per class. pictures: uint8 (H, W, 3)."""
    across, down = max(1, max(len(row) for row in pictures)), len(pictures)
    # One panel in cells for all images: a panel each takes ten times as long.
    figure = Figure(figsize=(1.0 * across, 1.0 * down))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for place, (row, name) in enumerate(zip(pictures, names, strict=True)):
        for number, picture in enumerate(row):
            interpolation = "nearest" if max(picture.shape) < 128 else "antialiased"
            axes.imshow(picture, interpolation=interpolation, extent=_inside(number, place, picture.shape))
        axes.text(-0.08, place + 0.5, name, ha="right", va="center")
    axes.text(across / 2, -0.2, "Sample images of train, one row per class", ha="center", va="bottom", fontsize=12)
    axes.set(xlim=(0, across), ylim=(down, 0), aspect="auto")
    return figure


def _inside(column: int, row: int, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a picture of this shape in the middle of a cell of side 1, with a margin."""
    wide, tall = (0.475 * side / max(shape[:2]) for side in (shape[1], shape[0]))
    return column + 0.5 - wide, column + 0.5 + wide, row + 0.5 + tall, row + 0.5 - tall


def channels(found: Validation, names: list[str]) -> Figure:
    """Mean and standard deviation of each channel, by split and by class of train."""
    manifest = found.manifest
    split, label = (manifest[column].to_numpy(dtype=object) for column in ("split", "label"))
    by_split = {name: np.flatnonzero(split == name) for name in SPLITS if (split == name).any()}
    train = split == "train"
    by_class = {name: np.flatnonzero(train & (label == one)) for name, one in zip(names, found.classes, strict=True)}
    figure = Figure(figsize=(max(9, 0.7 * len(names) + 5), 4))
    panels = figure.subplots(1, 2, sharey=True, width_ratios=(3, max(4, 0.8 * len(names))))
    for axes, groups, what in ((panels[0], by_split, "split"), (panels[1], by_class, "class of train")):
        figures_of_groups = [channel_figures(found, rows) for rows in groups.values()]
        for number, (channel, colour) in enumerate(CHANNELS.items()):
            places = np.arange(len(figures_of_groups)) + (number - 1) * 0.22
            means = [one[channel]["mean"] for one in figures_of_groups]
            axes.errorbar(
                places,
                means,
                yerr=[one[channel]["std"] for one in figures_of_groups],
                fmt="o",
                color=colour,
                capsize=3,
                label=f"{channel}",
            )
        _name_ticks(axes, list(groups))
        axes.set(xlabel=what, ylim=(0, 255))
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("grey level of 255: mean ± standard deviation")
    panels[1].legend(loc="upper right", ncols=3, frameon=False)
    figure.suptitle("Channel means over all pixels")
    return figure


def sizes(found: Validation, names: list[str]) -> Figure:
    """The commonest widths × heights, and the file lengths of each class of train."""
    manifest = found.manifest
    labels = manifest["width"].astype(str) + " × " + manifest["height"].astype(str)
    counts = labels.value_counts().rename_axis("size").reset_index(name="images")
    counts = counts.sort_values(["images", "size"], ascending=[False, True])
    top, rest = counts.head(11), counts.iloc[11:]
    shown, images = list(top["size"]), [int(count) for count in top["images"]]
    if len(rest):
        shown.append(f"{len(rest)} other sizes")
        images.append(int(rest["images"].sum()))
    figure = Figure(figsize=(11, max(3.8, 0.28 * len(names) + 1.5)), layout="constrained")
    left, right = figure.subplots(1, 2)
    bars = left.barh(np.arange(len(shown)), images, color="#3465a4", height=0.7 if len(shown) > 2 else 0.3)
    left.bar_label(bars, [f"{count:,}" for count in images], padding=3, fontsize=8)
    left.set_yticks(np.arange(len(shown)), shown)
    left.set(xlabel="images, all splits", ylabel="width × height, pixels")
    left.invert_yaxis()
    left.margins(x=0.15, y=0.3 if len(shown) < 3 else 0.05)
    train = manifest[manifest["split"] == "train"]
    lengths = [train.loc[train["label"] == label, "bytes"].to_numpy() / 1024 for label in found.classes]
    right.boxplot(lengths, orientation="horizontal", whis=(5, 95), showfliers=False, widths=0.6)
    right.set_yticks(np.arange(1, len(names) + 1), names)
    right.invert_yaxis()
    right.set(xlabel="file length, KiB (box: quartiles, whiskers: 5–95 %)", ylabel="class of train")
    right.grid(axis="x", alpha=0.3)
    figure.suptitle("Sizes of images and files")
    return figure


def audits(found: Validation, max_excess: float) -> Figure:
    """How well each container fact and each trace in the pixels identifies the class; chance, and what params allow."""
    both = {"container facts": found.shortcut, "traces in the pixels": found.trace}
    rows = max(3, *(1 + len(audit.by_fact) for audit in both.values()))
    figure = Figure(figsize=(11, 0.3 * rows + 1.9), layout="constrained")
    for axes, (what, audit) in zip(figure.subplots(1, 2, sharex=True), both.items(), strict=True):
        accuracies = dict(audit.by_fact)
        if audit.accuracy > max(accuracies.values(), default=1.0):  # then it is that of all facts together
            accuracies = {"all facts": audit.accuracy, **accuracies}
        names = [f"{name.replace('_', ' ')}  {value:.3f}" for name, value in accuracies.items()]
        axes.barh(np.arange(len(names)), list(accuracies.values()), color="#3465a4", height=0.6)
        axes.axvline(audit.chance, color="#777777", linewidth=1, label="chance")
        allowed = audit.chance + max_excess * (1 - audit.chance)
        axes.axvline(allowed, color="#c8382e", linewidth=1, linestyle="--", label="max_shortcut_excess")
        axes.set_yticks(np.arange(len(names)), names)
        axes.set(xlim=(0, 1), ylim=(rows - 0.5, -0.5), xlabel="balanced accuracy, cross-validated")
        verdict = (
            f"highest {audit.accuracy:.3f}, p = {audit.p_value:.3g}" if names else "all images have the same facts"
        )
        axes.set_title(f"{what}: {verdict}", fontsize=10)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle("Can the class be identified without the picture?")
    return figure


def _name_ticks(axes: object, names: Sequence[str]) -> None:
    slanted = sum(map(len, names)) + 2 * len(names) > 45
    axes.set_xticks(  # type: ignore[attr-defined]
        np.arange(len(names)), names, rotation=35 if slanted else 0, ha="right" if slanted else "center"
    )
