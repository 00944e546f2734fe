"""Which images are kept and on which side: balanced sampling, splits that the source does not have, folds."""

import numpy as np
import pandas as pd

from fakeprint import seeds
from fakeprint.errors import InputError, first_few
from fakeprint.params import Data, Prepare


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


def folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each train image, int64 (N,) from 0 to count − 1, stratified by class.

    Images of one group (near duplicates of each other) are in one fold; a group of several classes counts as its first
    image's. A class's folds depend on no other class.

    Args:
        labels: (N,), the classes.
        groups: int64 (N,), equal for near duplicates.
        count: of folds.
        seed: params.seed.

    Raises:
        InputError: a class has fewer groups than folds.
    """
    _, first, group, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    class_of = labels[first]
    counts = {label: int((class_of == label).sum()) for label in sorted(set(labels))}
    scarce = [label for label, number in counts.items() if number < count]
    if scarce:
        raise InputError(
            f"prepare.folds: {count} folds of train, but class {first_few(scarce)} has fewer images than that "
            f"({min(counts.values())}, near duplicates counted once); ask for fewer folds"
        )
    fold_of = np.empty(len(sizes), dtype=np.int64)
    for label in counts:
        mine = seeds.generator(seed, f"folds/{label}").permutation(np.flatnonzero(class_of == label))
        filled = np.zeros(count, dtype=np.int64)
        # Large groups first, each where least is: what is left then evens it out.
        for number in mine[np.argsort(-sizes[mine], kind="stable")]:
            emptiest = int(filled.argmin())
            fold_of[number] = emptiest
            filled[emptiest] += sizes[number]
    return fold_of[group]


def with_fold(manifest: pd.DataFrame, settings: Prepare, seed: int) -> pd.DataFrame:
    """The manifest with fold `settings.fold` of its train images as validation split, without those that it had.

    Test images stay; without a fold everything does. Raises InputError where a class has fewer images than folds.
    """
    if settings.fold is None:
        return manifest
    rows = manifest[manifest["split"] != "validation"].copy()
    train = (rows["split"] == "train").to_numpy()
    labels, groups = (rows.loc[train, column].to_numpy() for column in ("label", "group"))
    held_out = folds(labels, groups, settings.folds, seed) == settings.fold
    rows.loc[rows.index[train][held_out], "split"] = "validation"
    return rows


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
