"""Ten stratified folds of whole groups, against scikit-learn's StratifiedGroupKFold: time, and how even they are.

`python -m benchmarks.folds [--json FILE]`
"""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.table import Row, json_option, measure_in_turn, report, row
from fakeprint import seeds
from fakeprint.folds import group_folds

CLASSES, FOLDS = 5, 10
GOAL = 1.0  # as even as scikit-learn's folds, and no slower


def structures() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Labels and groups, both int64 (N,), of each case by name."""
    rng = seeds.generator(7, "benchmarks/folds")
    return {
        "1,000 pictures through 5 generators": (np.tile(np.arange(CLASSES), 1000), np.repeat(np.arange(1000), CLASSES)),
        "10,000 single images": (np.arange(10_000) % CLASSES, np.arange(10_000)),
        "20,000 images in 2,000 groups of chance": (rng.integers(0, CLASSES, 20_000), rng.integers(0, 2000, 20_000)),
    }


def compare(name: str, labels: np.ndarray, groups: np.ndarray) -> list[Row]:
    """Seconds, and how much more than its even share the furthest class of a fold has, or how much less."""
    rng = seeds.generator(7, "benchmarks/folds/ours")
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        found["ours"] = group_folds(labels, groups, FOLDS, rng)

    def peer() -> None:
        found["peer"] = np.empty(len(labels), dtype=np.int64)
        splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=7)
        for number, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
            found["peer"][rows] = number

    ours_seconds, peer_seconds = measure_in_turn(ours, peer, repeats=1)
    ours_part, peer_part = (1 + furthest(labels, found[side]) for side in ("ours", "peer"))
    return [
        row(name, ours_seconds, peer_seconds, "s", "lower", GOAL),
        row(f"{name}, furthest class", ours_part, peer_part, "of its due", "lower", GOAL),
    ]


def furthest(labels: np.ndarray, fold: np.ndarray) -> float:
    """The largest deviation of a class in a fold, as a share of a fold's even part of the class."""
    counts = np.zeros((CLASSES, FOLDS))
    np.add.at(counts, (labels, fold), 1)
    due = counts.sum(axis=1, keepdims=True) / FOLDS
    return float((np.abs(counts - due) / due).max())


def main() -> None:
    """Measure and print."""
    path = json_option(__doc__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [each for name, (labels, groups) in structures().items() for each in compare(name, labels, groups)]
    report(rows, f"{FOLDS} folds of {CLASSES} classes", path)


if __name__ == "__main__":
    main()
