"""Which images are kept and on which side they stand: balanced sampling, and splits that the source does not have."""

import numpy as np
import pandas as pd

from fakeprint import seeds
from fakeprint.params import Data


def sampled(rows: pd.DataFrame, per_class: int | None, seed: int) -> pd.DataFrame:
    """At most `per_class` images of each class of each labelled split, drawn evenly; the order stays.

    Args:
        rows: split, label (None = unlabelled, all kept), path.
        per_class: None keeps all.
        seed: params.seed. A class's draw depends on no other class.
    """
    if per_class is None:
        return rows
    keep = rows["label"].isna().to_numpy(copy=True)
    for (split, label), members in rows[~keep].groupby(["split", "label"]):
        rng = seeds.generator(seed, f"per_class/{split}/{label}")
        keep[rng.permutation(members.index.to_numpy())[:per_class]] = True
    return rows[keep].reset_index(drop=True)


def split_off(rows: pd.DataFrame, groups: np.ndarray, present: list[str], data: Data, seed: int) -> pd.Series:
    """The final split of each image: a test and a validation split that the source lacks are taken from train.

    Stratified by class; images of one group (near duplicates of each other) stay on one side. Fractions are of the
    images that the source has in train.

    Args:
        rows: split, label.
        groups: int64 (N,), equal for near duplicates.
        present: the source's own splits.
        data: validation_fraction and test_fraction.
        seed: params.seed.
    """
    split = rows["split"].copy()
    train = (rows["split"] == "train").to_numpy()
    for name, fraction in (("test", data.test_fraction), ("validation", data.validation_fraction)):
        if name not in present and fraction:
            rng_of = f"split/{name}"
            split[_drawn(rows, groups, train, (split == "train").to_numpy(), fraction, seed, rng_of)] = name
    return split


def _drawn(
    rows: pd.DataFrame,
    groups: np.ndarray,
    of: np.ndarray,
    free: np.ndarray,
    fraction: float,
    seed: int,
    purpose: str,
) -> np.ndarray:
    """Bool (N,): whole groups of the free images, `fraction` of each class of the images `of`, and at least one."""
    labels = rows["label"].to_numpy(dtype=object)
    free_rows = np.flatnonzero(free)
    _, first, group, sizes = np.unique(groups[free_rows], return_index=True, return_inverse=True, return_counts=True)
    class_of = labels[free_rows[first]]  # a group of several classes counts as its first image's
    chosen = np.zeros(len(sizes), dtype=bool)
    for label in sorted(set(class_of)):
        wanted = max(1, round(fraction * int((of & (labels == label)).sum())))
        mine = seeds.generator(seed, f"{purpose}/{label}").permutation(np.flatnonzero(class_of == label))
        for number in mine[: len(mine) - 1]:  # one group at least stays in train
            if sizes[number] <= wanted:
                chosen[number] = True
                wanted -= int(sizes[number])
    drawn = np.zeros(len(rows), dtype=bool)
    drawn[free_rows[chosen[group]]] = True
    return drawn
