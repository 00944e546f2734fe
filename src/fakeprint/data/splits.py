"""Sampling per class, groups, splits that the source does not have, and folds."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fakeprint import seeds
from fakeprint.data.arrays import CALIBRATION
from fakeprint.errors import InputError, first_few
from fakeprint.folds import group_folds, groups_of_class, parts
from fakeprint.params import Data, Prepare

GROUPED = "near duplicates and images of one data.group_column value are one group"


def sampled(rows: pd.DataFrame, per_class: float | Mapping[str, float] | None, seed: int) -> pd.DataFrame:
    """At most `per_class` images of each class of each labelled split, drawn evenly; the order stays.

    What a smaller number keeps, a larger one keeps too.

    Args:
        rows: split, label (None = unlabelled, all kept), path.
        per_class: one number for all splits, or one per split by name; below 1 it is the share of the class's images,
            of which at least one is kept. None, or no number for a split, keeps all.
        seed: params.seed. A class's draw depends on no other class.
    """
    if per_class is None:
        return rows
    keep = rows["label"].isna().to_numpy(copy=True)
    for (split, label), members in rows[~keep].groupby(["split", "label"]):
        wanted = per_class.get(str(split)) if isinstance(per_class, Mapping) else per_class
        if isinstance(wanted, float):
            wanted = max(1, round(wanted * len(members)))
        rng = seeds.generator(seed, f"per_class/{split}/{label}")
        keep[rng.permutation(members.index.to_numpy())[:wanted]] = True
    return rows[keep].reset_index(drop=True)


def joined(groups: np.ndarray, names: pd.Series) -> np.ndarray:
    """Groups joined where their images share a name: int64 (N,), equal for images that are linked by either.

    Args:
        groups: int64 (N,) from 0, equal for near duplicates.
        names: str or None (N,), of data.group_column; None links no images.
    """
    code, _ = pd.factorize(names)  # −1 for None
    named = code >= 0
    count = int(groups.max(initial=-1)) + 1 + int(code.max(initial=-1)) + 1
    edges = (groups[named], count - 1 - code[named])  # names are nodes above the groups
    links = coo_array((np.ones(len(edges[0]), dtype=bool), edges), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)[groups]


def requested_splits(present: list[str], data: Data) -> dict[str, float]:
    """The splits to make, because the source has none, and the fraction of its train images for each."""
    fractions = {"validation": data.validation_fraction, "test": data.test_fraction}
    return {split: fraction for split, fraction in fractions.items() if split not in present and fraction}


def split_off(rows: pd.DataFrame, groups: np.ndarray, requested: dict[str, float], seed: int) -> pd.Series:
    """The final split of each image: the requested splits are taken from train, stratified, in whole groups.

    Each split gets at least one image of every class with enough groups, train first, then validation. A class that is
    one group stays in train.

    Args:
        rows: split, label.
        groups: int64 (N,), equal for images that stay in one split.
        requested: as `requested_splits` gives them.
        seed: params.seed.

    Raises:
        InputError: validation would be empty, because every class is one group.
    """
    split = rows["split"].copy()
    train = np.flatnonzero(split == "train")
    if not requested:
        return split
    labels = rows["label"].to_numpy(dtype=object)[train]
    shares = [1 - sum(requested.values()), *requested.values()]
    part = parts(labels, groups[train], shares, seeds.generator(seed, "split"))
    split.iloc[train] = np.array(["train", *requested], dtype=object)[part]
    if "validation" in requested and not (split == "validation").any():
        raise InputError(
            f"data.validation_fraction: cannot split off validation, since every class is a single group ({GROUPED}); "
            "add a validation split or more images"
        )
    return split


def reached_fractions(rows: pd.DataFrame, requested: dict[str, float]) -> dict[str, dict[str, float]]:
    """The fraction of the source's train images that each split got: split → label → fraction.

    Args:
        rows: split (the final one) and label.
        requested: the splits that were made.
    """
    of_train = rows[rows["split"].isin(["train", *requested])]
    counts = pd.crosstab(of_train["label"], of_train["split"])
    fractions = counts.div(counts.sum(axis=1), axis=0).reindex(columns=list(requested), fill_value=0.0)
    return {split: {str(label): float(value) for label, value in fractions[split].items()} for split in requested}


def far_from_requested(
    rows: pd.DataFrame, requested: dict[str, float], reached: dict[str, dict[str, float]]
) -> dict[str, list[str]]:
    """Classes whose part in a split is 0 or far from the requested one, by split.

    Far is more than a fifth of what was requested, and more than the rounding to whole images accounts for.
    """
    totals = rows.loc[rows["split"].isin(["train", *requested]), "label"].value_counts()
    return {
        split: [
            label
            for label, fraction in reached[split].items()
            if not fraction or abs(fraction - wanted) > max(wanted / 5, 1.5 / totals[label])
        ]
        for split, wanted in requested.items()
    }


def folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each train image, int64 (N,) from 0 to count − 1, stratified by class, in whole groups.

    Args:
        labels: (N,), the classes.
        groups: int64 (N,), equal for images that stay in one fold.
        count: number of folds.
        seed: params.seed.

    Raises:
        InputError: a class has fewer groups than folds, or all of its images are in one fold.
    """
    number_of = groups_of_class(labels, groups)
    scarce = [label for label, number in number_of.items() if number < count]
    if scarce:
        raise InputError(
            f"prepare.folds: class {first_few(scarce)} has only {min(number_of.values())} groups ({GROUPED}), fewer "
            f"than the {count} folds; use fewer folds"
        )
    fold = group_folds(labels, groups, count, seeds.generator(seed, "folds"))
    whole = [label for label in number_of if len(np.unique(fold[labels == label])) < 2]
    if whole:
        raise InputError(
            f"prepare.folds: all images of class {first_few(whole)} are in one fold, because groups of several classes "
            f"stay whole ({GROUPED}); use another number of folds, or add images"
        )
    return fold


def require_validation(manifest: pd.DataFrame) -> None:
    """Raises InputError if no validation image is left."""
    if not (manifest["split"] == "validation").any():
        raise InputError(
            "no validation image is left: all were set aside (reports/validate/set_aside.csv), dropped as leaks or by "
            "a verdict; without them nothing can be evaluated"
        )


def with_folds(manifest: pd.DataFrame, settings: Prepare, calibration: bool, seed: int) -> pd.DataFrame:
    """The manifest with folds of its train images as other splits.

    Fold `settings.fold` becomes the validation split, in place of the source's own. With `calibration` the next fold
    (the first, without `settings.fold`) becomes the split `calibration`. Test images stay. With neither, the manifest
    is returned as it is.

    Raises:
        InputError: a class has fewer groups than folds, no fold is left for training, or train or a fold that becomes a
            split has no image of a class.
    """
    if settings.fold is None and not calibration:
        return manifest
    if settings.fold is not None and calibration and settings.folds < 3:
        raise InputError("prepare.folds: 2 folds for validation and calibration leave none for training; use 3 or more")
    rows = manifest if settings.fold is None else manifest[manifest["split"] != "validation"]
    rows = rows.copy()
    train = (rows["split"] == "train").to_numpy()
    labels, groups = (rows.loc[train, column].to_numpy() for column in ("label", "group"))
    numbers, indices = folds(labels, groups, settings.folds, seed), rows.index[train]
    if settings.fold is not None:
        rows.loc[indices[numbers == settings.fold], "split"] = "validation"
    if calibration:
        following = 0 if settings.fold is None else (settings.fold + 1) % settings.folds
        rows.loc[indices[numbers == following], "split"] = CALIBRATION
    _require_every_class(rows.loc[indices, "split"], rows.loc[indices, "label"])
    return rows


def _require_every_class(splits: pd.Series, labels: pd.Series) -> None:
    """Raises InputError if a class has no image in one of the splits; groups of several classes may make it so."""
    counts = pd.crosstab(splits, labels)
    for split, of_class in counts.iterrows():
        lacking = of_class.index[of_class == 0]
        if len(lacking):
            raise InputError(
                f"prepare.folds: {split} has no image of class {first_few(lacking)}, because groups of several classes "
                f"stay whole ({GROUPED}); use another number of folds or another prepare.fold, or add images"
            )
