"""Pictures and tables of fingerprints: what they look like, how alike they are, how many images they need."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.fft import fftshift

from fakeprint.blocks import Rows
from fakeprint.files import write_csv, write_figure
from fakeprint.models.classifiers.fingerprints import FingerprintClassifier, class_sums, correlations
from fakeprint.models.fit_reports.fingerprint_peaks import LONGEST, Analysis, Peak, analysed

Labelled = tuple[Rows, np.ndarray]  # residual images (N, D) and class indices (N,)
RING: dict[str, Any] = {"marker": "o", "s": 90, "facecolors": "none", "linewidths": 1.5}


def write_fingerprints(
    folder: Path,
    model: FingerprintClassifier,
    dataset: Mapping[str, Any],
    train: Labelled,
    validation: Labelled,
    seed: int,
    unit: str,
) -> None:
    """Write the pictures and tables of a fitted classifier into an existing folder.

    - `fingerprint_INDEX.png` of each class, and `peaks.csv` with the marked peaks of all;
    - `similarity.csv` and `.png`: the correlation of each class's fingerprint with each other's;
    - `images_per_class.csv` and `.png`: validation accuracy over the number of images averaged; not written where no
      validation image has a label.

    dataset: the fields of `data.arrays.Dataset`. train, validation: as the classifier takes them. seed: for the order
    in which train images are added. unit: of the numbers in a row.
    """
    names = dataset["names"]
    peaks = []
    for index, (name, pattern) in enumerate(zip(names, model.fingerprints_, strict=True)):
        planes = as_planes(pattern)
        analysis = analysed(planes)
        title = f"{name}\nmean residual of {model.counts_[index]:,} train images"
        write_figure(folder / f"fingerprint_{index}.png", fingerprint_picture(planes, analysis, title, unit))
        peaks.append(peak_table(analysis, dataset["classes"][index]))
    write_csv(folder / "peaks.csv", pd.concat(peaks))
    similarity = pd.DataFrame(model.correlations(model.fingerprints_), dataset["classes"], dataset["classes"])
    write_csv(folder / "similarity.csv", similarity.rename_axis("class").round(6), index=True)
    write_figure(folder / "similarity.png", similarity_picture(similarity.to_numpy(), names))
    if len(validation[0]):
        curve = accuracy_by_images(train, validation, seed)
        probable = np.concatenate([model.predict(block) for _, block in validation[0].blocks()])
        write_csv(folder / "images_per_class.csv", curve)
        accuracy = float(np.mean(probable == validation[1]))
        write_figure(folder / "images_per_class.png", curve_picture(curve, accuracy, len(names)))


def as_planes(pattern: np.ndarray) -> np.ndarray:
    """A row of `residual_image` of square images, (D,), as its 1 or 3 channels: (channels, S, S)."""
    side = math.isqrt(len(pattern))
    if side**2 < len(pattern):
        side = math.isqrt(len(pattern) // 3)
    return pattern.reshape(-1, side, side)


def accuracy_by_images(train: Labelled, validation: Labelled, seed: int) -> pd.DataFrame:
    """Validation accuracy of fingerprints of 2, 4, 8, … train images per class, and of all.

    An image is taken for the class with the highest correlation, as Marra et al. do. Images are added in an order drawn
    from the seed; a class with fewer images gives all it has. One pass over the rows. Columns: images_per_class,
    correct, images, accuracy.
    """
    (rows, y), (queries, truth) = train, validation
    classes = int(y.max()) + 1
    largest = int(np.bincount(y).max())
    sizes = np.array([*(2**power for power in range(1, 63) if 2**power <= 0.75 * largest), largest])
    rank, rng = np.empty(len(y), dtype=np.int64), np.random.default_rng(seed)
    for each in range(classes):
        members = np.flatnonzero(y == each)
        rank[members] = rng.permutation(len(members))
    step = np.searchsorted(sizes, rank, side="right")
    sums, counts = class_sums(rows, step * classes + y, len(sizes) * classes)
    sums = sums.reshape(len(sizes), classes, -1).cumsum(axis=0)
    means = sums / counts.reshape(len(sizes), classes).cumsum(axis=0)[:, :, None]
    correct = np.zeros(len(sizes), dtype=np.int64)
    for place, block in queries.blocks():
        scores = correlations(block, means.reshape(-1, rows.shape[1])).reshape(len(block), len(sizes), classes)
        correct += np.sum(scores.argmax(axis=2) == truth[place][:, None], axis=0)
    return pd.DataFrame(
        {
            "images_per_class": sizes,
            "correct": correct,
            "images": len(truth),
            "accuracy": correct / len(truth),
        }
    )


def peak_table(analysis: Analysis, name: str) -> pd.DataFrame:
    """The peaks of one class, the highest of each kind first.

    Columns: class; kind, "spectrum" (down and right in cycles per pixel, height over the background) or
    "autocorrelation" (in pixels, height at most 1); period in pixels.
    """
    found = [("spectrum", peak, 1 / np.hypot(peak.down, peak.right)) for peak in analysis.spectral_peaks]
    found += [("autocorrelation", peak, np.hypot(peak.down, peak.right)) for peak in analysis.repeats]
    columns = ["class", "kind", "down", "right", "period", "height"]
    rows = [(name, kind, peak.down, peak.right, period, peak.height) for kind, peak, period in found]
    return pd.DataFrame(rows, columns=columns).round({"down": 6, "right": 6, "period": 3, "height": 3})


def fingerprint_picture(planes: np.ndarray, analysis: Analysis, title: str, unit: str) -> Figure:
    """A fingerprint, its log spectrum and its autocorrelation, with the highest peaks ringed.

    planes: float (1 or 3, S, S), in this unit. title: of the first part.
    """
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    pattern, spectrum, repeats = figure.subplots(1, 3)
    widest = float(np.quantile(np.abs(planes), 0.995)) or 1.0
    shown = np.clip(0.5 + planes / (2 * widest), 0, 1).transpose(1, 2, 0)
    pattern.imshow(shown if len(planes) == 3 else shown[:, :, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    pattern.set(title=title, xlabel=f"grey is 0, darkest and brightest are ∓{widest:.2g} {unit}")
    side = len(analysis.power)
    _draw_spectrum(spectrum, analysis, side)
    _draw_autocorrelation(repeats, analysis, side)
    return figure


def _draw_spectrum(axes: Axes, analysis: Analysis, side: int) -> None:
    tiny = np.finfo(float).tiny
    half = side // 2 / side
    edges = (-half - 0.5 / side, half + (0.5 - (side % 2 == 0)) / side)
    image = axes.imshow(
        fftshift(np.log10(np.maximum(analysis.power, max(tiny, 1e-4 * np.median(analysis.power))))),
        cmap="magma",
        extent=(edges[0], edges[1], edges[1], edges[0]),
        interpolation="nearest",
    )
    axes.set(title="log spectrum", xlabel="cycles per pixel, along a row", ylabel="cycles per pixel, down a column")
    _ring(axes, analysis.spectral_peaks, "cyan", half, side % 2 == 0)
    axes.figure.colorbar(image, ax=axes, label="log₁₀ power")


def _draw_autocorrelation(axes: Axes, analysis: Analysis, side: int) -> None:
    shifted, middle = fftshift(analysis.autocorrelation), side // 2
    reach = min(LONGEST, (side - 1) // 2)
    cut = slice(middle - reach, middle + reach + 1)
    shown = shifted[cut, cut]
    beside = shown.copy()
    beside[reach - 1 : reach + 2, reach - 1 : reach + 2] = 0
    most = max(0.1, float(np.abs(beside).max()))
    around = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-most, vmax=most, extent=around, interpolation="nearest")
    axes.set(title="autocorrelation, flattened", xlabel="shift, pixels right", ylabel="shift, pixels down")
    _ring(axes, analysis.repeats, "black", reach, False)
    axes.figure.colorbar(image, ax=axes)


def _ring(axes: Axes, peaks: list[Peak], colour: str, half: float, even: bool) -> None:
    """Ring the peaks and their opposites; of an even side, ½ cycle per pixel is shown at the low end only."""
    places = np.array([(sign * peak.right, sign * peak.down) for peak in peaks for sign in (1, -1)]).reshape(-1, 2)
    if even:
        places[places >= half] *= -1
    limits = axes.get_xlim(), axes.get_ylim()
    axes.scatter(places[:, 0], places[:, 1], edgecolors=colour, clip_on=False, **RING)
    axes.set(xlim=limits[0], ylim=limits[1])


def similarity_picture(similarity: np.ndarray, names: list[str]) -> Figure:
    """The correlation of each fingerprint with each other; float (K, K)."""
    side = 2.8 + max(2.2, 0.55 * len(names))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(similarity, cmap="RdBu_r", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(similarity):
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_title("correlation of the fingerprints")
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    return figure


def curve_picture(curve: pd.DataFrame, accuracy: float, classes: int) -> Figure:
    """Accuracy over the number of images averaged; accuracy: of the fitted classifier, drawn as a line."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(curve["images_per_class"], 100 * curve["accuracy"], marker="o", label="highest correlation")
    axes.axhline(100 * accuracy, color="black", linestyle="--", label=f"with the regression: {100 * accuracy:.2f} %")
    axes.axhline(100 / classes, color="grey", linestyle=":", label=f"chance, {classes} classes")
    axes.set_xscale("log", base=2)
    axes.set_xticks(curve["images_per_class"], [f"{number:,}" for number in curve["images_per_class"]], rotation=45)
    axes.set_xticks([], minor=True)
    axes.set(
        xlabel="train images averaged per class",
        ylabel="validation accuracy (%)",
        title="Fingerprints of few and of many images",
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
