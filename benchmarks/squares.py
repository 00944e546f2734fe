"""What the squares of the residual features give an RBF SVM, by cross-validation on the train images.

Run it after `dvc repro prepare`. The sets are hsv_joint, residual and spectrum with the options of params.yaml: without
squares, with squares, and with squares whose left-right mirrors are merged (the mean of an image's and its mirror
image's numbers). The folds are stratified and ignore groups of near duplicates. Each number is standardised over all
train images, which uses no label. Each row shows on how many images only it, and only the set without squares, is right
at the same gamma, with the p-value of McNemar's exact test, not corrected. In memory are four matrices of N × N float32
at a time: 2.5 GB for 12,500 images.

`python -m benchmarks.squares [--gammas 1.0 0.6] [--folds 4] [--seed 11] [--json FILE]`
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from benchmarks.table import console
from fakeprint import params
from fakeprint.data.arrays import ARRAYS, WholeImages, load_split
from fakeprint.errors import InputError, one_line_errors
from fakeprint.evaluation.intervals import mcnemar
from fakeprint.features import extract, extract_blocks

C = 10.0
WITHOUT, WITH, MERGED = "without", "with", "with, mirrors merged"


@dataclass(frozen=True)
class Scored:
    """One set at one gamma.

    dimensions: numbers that are not constant. gamma: times the dimensions, 1 = `scale`. recalls: by class index.
    only_it, only_without: images that only this set, and only the set without squares at this gamma, gets right.
    """

    squares: str
    dimensions: int
    gamma: float
    accuracy: float
    recalls: list[float]
    only_it: int
    only_without: int
    p: float


def numbers_of(images: np.ndarray, settings: params.Params) -> tuple[np.ndarray, np.ndarray]:
    """All numbers but the squares, float32 (N, D), and the squares, float32 (N, S)."""
    options = {name: block.model_dump() for name, block in settings.features if block is not None}
    residual = options["residual"] | {"squares": True}
    merged = extract("residual", residual | {"squares": False}, images[:1]).shape[1]
    sets = {"residual": residual, "hsv_joint": options["hsv_joint"], "spectrum": options["spectrum"]}
    squares = slice(merged, extract("residual", residual, images[:1]).shape[1])
    parts = [
        (np.delete(block, squares, axis=1), block[:, squares])
        for block in extract_blocks(sets, images, settings.run.workers, "features")
    ]
    others, found = zip(*parts, strict=True)
    return np.concatenate(others), np.concatenate(found)


def distances(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """Squared distances between all rows after square root and standardisation, and the number of columns that vary.

    numbers: float32 (N, D). Returns float32 (N, N).
    """
    rooted = np.copysign(np.sqrt(np.abs(numbers)), numbers)
    varies = np.ptp(rooted, axis=0) > 0
    rows = rooted[:, varies] - rooted[:, varies].mean(axis=0)
    rows /= rows.std(axis=0)
    squares = np.einsum("ij,ij->i", rows, rows)
    between = rows @ rows.T
    between *= -2
    between += squares
    between += squares[:, None]
    return between, int(varies.sum())


def cross_validated(between: np.ndarray, gamma: float, labels: np.ndarray, folds: Iterable) -> np.ndarray:
    """Each image's class, int64 (N,), by SVMs that were fitted on the other folds."""
    predicted = np.empty_like(labels)
    for train, test in folds:
        machine = SVC(C=C, kernel="precomputed", cache_size=1000)
        machine.fit(np.exp(-gamma * between[np.ix_(train, train)]), labels[train])
        predicted[test] = machine.predict(np.exp(-gamma * between[np.ix_(test, train)]))
    return predicted


def compare(images: np.ndarray, labels: np.ndarray, gammas: Sequence[float], folds: int, seed: int) -> list[Scored]:
    """Score each set at each gamma. images: uint8 (N, H, W, 3). labels: int64 (N,), class index."""
    settings = params.load()
    if settings.features.hsv_joint is None or settings.features.residual is None or settings.features.spectrum is None:
        raise InputError("features: hsv_joint, residual and spectrum are needed")
    largest = int(np.bincount(labels).max())
    if folds > largest:
        raise InputError(f"--folds: {folds} is more than the {largest} images of the largest class")
    others, squares = numbers_of(images, settings)
    mirrored = numbers_of(np.ascontiguousarray(images[:, :, ::-1]), settings)[1]
    parts = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))
    base = distances(others)
    reference: dict[float, np.ndarray] = {}
    rows = []
    for name, more in ((WITHOUT, None), (WITH, squares), (MERGED, (squares + mirrored) / 2)):
        between, dimensions = base if more is None else _added(base, distances(more))
        for gamma in gammas:
            predicted = cross_validated(between, gamma / dimensions, labels, parts)
            correct = predicted == labels
            before = reference.setdefault(gamma, correct)
            recalls = [float(correct[labels == label].mean()) for label in np.unique(labels)]
            only = int(np.sum(correct & ~before)), int(np.sum(before & ~correct))
            accuracy, p = float(correct.mean()), mcnemar(correct, before)
            rows.append(Scored(name, dimensions, gamma, accuracy, recalls, *only, p))
    return rows


def _added(one: tuple[np.ndarray, int], other: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:
    return one[0] + other[0], one[1] + other[1]


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gammas", nargs="+", type=float, default=[1.0, 0.6], metavar="G", help="times the dimensions")
    parser.add_argument("--folds", type=int, default=4, metavar="K")
    parser.add_argument("--seed", type=int, default=11, metavar="N", help="of the folds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    options = parser.parse_args()
    if options.folds < 2 or min(options.gammas) <= 0:
        raise InputError("--folds: at least 2; --gammas: above 0")
    if not (ARRAYS / "train.parquet").exists():
        raise InputError(f"{ARRAYS}/train.parquet is missing: run `dvc repro prepare` first")
    train = load_split("train")
    if isinstance(train.images, WholeImages):
        raise InputError("prepare.resize: native keeps images at their own size; this needs images of one size")
    rows = compare(train.images, train.labels, options.gammas, options.folds, options.seed)
    table = Table(title=f"{len(train.labels):,} images, figures in %", title_justify="left")
    table.add_column("squares", no_wrap=True)
    for heading in ("numbers", "gamma", "accuracy", "least recall", "only it", "only without", "p"):
        table.add_column(heading, justify="right")
    for row in rows:
        counts = ["", "", ""] if row.squares == WITHOUT else [str(row.only_it), str(row.only_without), f"{row.p:.2g}"]
        shares = [f"{100 * row.accuracy:.2f}", f"{100 * min(row.recalls):.1f}"]
        table.add_row(row.squares, f"{row.dimensions:,}", f"{row.gamma:g}", *shares, *counts)
    console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
