"""Ten stratified folds of whole groups compared with scikit-learn's StratifiedGroupKFold: time and evenness.

`python -m benchmarks.folds [--json FILE]`
"""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.table import Row, json_option, measure_in_turn, report, row
from fakeprint import seeds
from fakeprint.folds import group_folds

CLASSES, FOLDS = 5, 10
GOAL = 1.0  # as even as scikit-learn's folds, and not slower


def structures() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Labels and groups, both int64 (N,), of each case by name."""
    rng = seeds.generator(7, "benchmarks/folds")
    return {
        "1,000 pictures through 5 generators": (np.tile(np.arange(CLASSES), 1000), np.repeat(np.arange(1000), CLASSES)),
        "10,000 single images": (np.arange(10_000) % CLASSES, np.arange(10_000)),
        "20,000 images in 2,000 random groups": (rng.integers(0, CLASSES, 20_000), rng.integers(0, 2000, 20_000)),
    }


def compare(name: str, labels: np.ndarray, groups: np.ndarray) -> list[Row]:
    """Seconds, and 1 + the largest deviation of a class in a fold from its even share."""
    rng = seeds.generator(7, "benchmarks/folds/ours")
    folds: dict[str, np.ndarray] = {}

    def ours() -> None:
        folds["ours"] = group_folds(labels, groups, FOLDS, rng)

    def peer() -> None:
        folds["peer"] = np.empty(len(labels), dtype=np.int64)
        splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=7)
        for number, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
            folds["peer"][rows] = number

    ours_seconds, peer_seconds = measure_in_turn(ours, peer, repeats=1)
    ours_part, peer_part = (1 + largest_deviation(labels, folds[side]) for side in ("ours", "peer"))
    return [
        row(name, ours_seconds, peer_seconds, "s", "lower", GOAL),
        row(f"{name}, most uneven class", ours_part, peer_part, "1 + deviation", "lower", GOAL),
    ]


def largest_deviation(labels: np.ndarray, fold: np.ndarray) -> float:
    """The largest deviation of a class in a fold from its even share, as a part of that share."""
    counts = np.zeros((CLASSES, FOLDS))
    np.add.at(counts, (labels, fold), 1)
    even = counts.sum(axis=1, keepdims=True) / FOLDS
    return float((np.abs(counts - even) / even).max())


def main() -> None:
    """Measure and print."""
    path = json_option(__doc__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [each for name, (labels, groups) in structures().items() for each in compare(name, labels, groups)]
    report(rows, f"{FOLDS} folds of {CLASSES} classes: Fakeprint (ours) and scikit-learn (peer)", path)


if __name__ == "__main__":
    main()
