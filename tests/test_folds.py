import warnings

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from fakeprint.folds import group_folds, groups_of_class, parts

STRUCTURES = ["singles", "pairs", "videos", "mixed", "one_large", "all_classes"]


def structure(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of unequal classes and groups of a random shape, rows in random order."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array(["a", "b", "c", "d"]), 1500, p=[0.5, 0.3, 0.15, 0.05])
    groups = {
        "singles": np.arange(1500),
        "pairs": rng.permutation(1500) // 2,
        "videos": rng.integers(0, 90, 1500) * 4 + np.unique(labels, return_inverse=True)[1],  # of one class each
        "mixed": np.minimum(rng.permutation(1500), rng.geometric(0.02, 1500) * 7),
        "one_large": np.where(rng.random(1500) < 0.1, 0, np.arange(1500)),
        "all_classes": rng.integers(0, 250, 1500),
    }[kind]
    return labels, groups * 3 - 5


def held(labels: np.ndarray, part: np.ndarray, count: int) -> np.ndarray:
    """The share of each class in each part, (classes, parts)."""
    counts = np.array([np.bincount(part[labels == each], minlength=count) for each in sorted(set(labels))])
    return counts / counts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_groups_stay_whole_and_every_class_gets_its_share(kind: str) -> None:
    shares = [0.75, 0.15, 0.1]
    for seed in range(8):
        labels, groups = structure(kind, seed)
        part = parts(labels, groups, shares, np.random.default_rng(seed))
        assert all(len(set(part[groups == group])) == 1 for group in set(groups))
        # No class is off by more than the images that its largest group has of it, and one for rounding.
        for each in set(labels):
            count = (labels == each).sum()
            largest = np.unique(groups[labels == each], return_counts=True)[1].max()
            off = np.abs(np.bincount(part[labels == each], minlength=3) - count * np.array(shares))
            assert off.max() <= largest + 1, (seed, each)


@pytest.mark.slow
@pytest.mark.parametrize("kind", STRUCTURES)
def test_folds_are_as_even_as_scikit_learns(kind: str) -> None:
    ours, theirs = [], []
    for seed in range(3):
        labels, groups = structure(kind, seed)
        fold = group_folds(labels, groups, 5, np.random.default_rng(seed))
        peer = np.empty_like(fold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
            for number, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
                peer[rows] = number
        for spread, found in ((ours, fold), (theirs, peer)):
            spread.append(held(labels, found, 5).std(axis=1).mean())
    assert np.mean(ours) <= np.mean(theirs) * 1.05 + 1e-3


def test_no_part_lacks_a_class_that_has_groups_enough() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        groups = rng.integers(0, 12, 200)
        labels = np.where(np.isin(groups, rng.permutation(12)[:3]) & (rng.random(200) < 0.3), "rare", "common")
        part = parts(labels, groups, [0.94, 0.05, 0.01], rng)
        enough = min(3, groups_of_class(labels, groups).get("rare", 0))
        assert len(set(part[labels == "rare"])) == enough
        assert set(part[labels == "common"]) == {0, 1, 2}


def test_the_draw_is_by_seed_and_even_among_images() -> None:
    labels, groups = np.arange(40) % 2, np.arange(40)
    draws = np.array([parts(labels, groups, [0.9, 0.1], np.random.default_rng(seed)) for seed in range(400)])
    assert (draws.sum(axis=1) == 4).all()
    assert (draws[0] == parts(labels, groups, [0.9, 0.1], np.random.default_rng(0))).all()
    drawn = draws.sum(axis=0)  # binomial, 400 times 0.1: a standard deviation of 6
    assert drawn.min() > 15 and drawn.max() < 65


def test_groups_are_counted_by_class() -> None:
    assert groups_of_class(np.array([0, 0, 1, 1, 1]), np.array([7, 7, 7, 3, 5])) == {0: 1, 1: 3}
    assert parts(np.zeros(0), np.zeros(0), [0.5, 0.5], np.random.default_rng(0)).shape == (0,)
