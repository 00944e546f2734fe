import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakeprint.data.splits import (
    far_from_requested,
    folds,
    joined,
    reached_fractions,
    requested_splits,
    sampled,
    split_off,
    with_folds,
)
from fakeprint.errors import InputError
from fakeprint.params import Data, Prepare


def rows_of(**counts: int) -> pd.DataFrame:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return pd.DataFrame({"split": "train", "label": labels, "path": [str(place) for place in range(len(labels))]})


def data(**options: Any) -> Data:
    return Data(
        **{"title": "", "path": "", "layout": "csv", "validation_fraction": 0.2, "test_fraction": 0.1, **options}
    )


def made(rows: pd.DataFrame, groups: np.ndarray, seed: int = 7, **options: Any) -> pd.Series:
    return split_off(rows, groups, requested_splits(["train"], data(**options)), seed)


def test_split_off_is_stratified_seeded_and_leaves_the_others() -> None:
    rows = rows_of(a=100, b=50)
    groups = np.arange(150)
    split = made(rows, groups)
    for label, count in (("a", 100), ("b", 50)):
        mine = split[rows["label"] == label].value_counts().to_dict()
        assert mine == {"train": 0.7 * count, "validation": 0.2 * count, "test": 0.1 * count}
    assert split.equals(made(rows, groups))
    assert not split.equals(made(rows, groups, seed=8))
    requested = requested_splits(["train", "validation"], data(test_fraction=0))
    assert requested == {}
    assert (split_off(rows, groups, requested, 7) == "train").all()


def test_near_duplicates_stay_on_one_side() -> None:
    rows = rows_of(a=120, b=120)
    groups = np.arange(240) // 4
    split = made(rows, groups, test_fraction=0)
    assert all(split[groups == group].nunique() == 1 for group in range(60))
    assert (split == "validation").sum() == 48


def test_groups_of_all_classes_are_stratified_by_each() -> None:
    rows = pd.DataFrame({"split": "train", "label": list("abcde") * 1000})
    groups = np.repeat(np.arange(1000), 5)  # one picture, passed through five generators
    split = made(rows, groups, validation_fraction=0.1)
    assert pd.crosstab(rows["label"], split)["validation"].tolist() == [100] * 5
    assert pd.crosstab(rows["label"], split)["test"].tolist() == [100] * 5
    fold = folds(rows["label"].to_numpy(), groups, 5, 7)
    assert pd.crosstab(rows["label"], fold).to_numpy().tolist() == [[200] * 5] * 5


def test_every_class_keeps_an_image_on_each_side_where_it_has_two() -> None:
    rows = rows_of(a=2, b=40, c=3)
    split = made(rows, np.arange(45), validation_fraction=0.01, test_fraction=0.01)
    assert sorted(split[rows["label"] == "a"]) == ["train", "validation"]
    assert sorted(split[rows["label"] == "c"]) == ["test", "train", "validation"]


def test_a_class_of_one_group_stays_in_train() -> None:
    rows = rows_of(a=30, b=100)
    groups = np.concatenate([np.zeros(30, dtype=np.int64), np.arange(1, 101)])
    for seed in range(5):
        split = made(rows, groups, seed)
        assert set(split[:30]) == {"train"}
        requested = requested_splits(["train"], data())
        reached = reached_fractions(rows.assign(split=split), requested)
        assert reached == {"validation": {"a": 0.0, "b": 0.2}, "test": {"a": 0.0, "b": 0.1}}
        off = far_from_requested(rows.assign(split=split), requested, reached)
        assert off == {"validation": ["a"], "test": ["a"]}


def test_no_validation_split_can_be_made() -> None:
    with pytest.raises(
        InputError, match=r"^data.validation_fraction: cannot split off validation, since every class is"
    ):
        made(rows_of(a=5, b=5), np.arange(10) // 5, test_fraction=0)


def test_names_join_near_duplicates() -> None:
    names = pd.Series(["x", None, "y", "x", None, "y", None], dtype=object)
    groups = joined(np.array([0, 1, 1, 2, 3, 4, 4]), names)
    assert [groups.tolist().index(group) for group in groups] == [0, 1, 1, 0, 4, 1, 1]
    assert joined(np.array([0, 1, 1]), pd.Series([None] * 3, dtype=object)).tolist() == [0, 1, 1]


@pytest.mark.parametrize("per_class", [None, 3])
def test_balanced_sampling(per_class: int | None) -> None:
    rows = pd.concat([rows_of(a=10, b=5, c=2), rows_of(a=4, b=4, c=4).assign(split="validation")], ignore_index=True)
    rows = pd.concat([rows, pd.DataFrame({"split": ["test"] * 9, "label": None, "path": "t"})], ignore_index=True)
    kept = sampled(rows, per_class, 7)
    if per_class is None:
        assert kept.equals(rows)
        return
    assert kept[kept["split"] != "test"].groupby(["split", "label"]).size().tolist() == [3, 3, 2, 3, 3, 3]
    assert (kept["split"] == "test").sum() == 9
    assert kept["path"].head(8).astype(int).is_monotonic_increasing
    assert not kept.equals(sampled(rows, per_class, 8))


def test_a_share_of_each_class_keeps_what_a_smaller_one_keeps() -> None:
    rows = pd.concat([rows_of(a=20, b=9, c=1), rows_of(a=4, b=4, c=4).assign(split="validation")], ignore_index=True)
    half, quarter = (sampled(rows, {"train": share}, 7) for share in (0.5, 0.25))
    assert half.groupby(["split", "label"]).size().tolist() == [10, 4, 1, 4, 4, 4]
    assert quarter.groupby(["split", "label"]).size().tolist() == [5, 2, 1, 4, 4, 4]
    assert set(quarter["path"]) <= set(half["path"])


def test_balanced_sampling_by_split() -> None:
    splits = ("train", "validation", "test")
    rows = pd.concat([rows_of(a=10, b=10).assign(split=split) for split in splits], ignore_index=True)
    counts = sampled(rows, {"train": 8, "test": 3}, 7).groupby(["split", "label"]).size()
    assert counts.unstack().to_dict("list") == {"a": [3, 8, 10], "b": [3, 8, 10]}
    train_alone = sampled(rows, 8, 7)
    assert train_alone[train_alone["split"] == "train"].equals(
        sampled(rows, {"train": 8}, 7)[lambda kept: kept["split"] == "train"]
    )


def test_folds_are_stratified_seeded_and_of_whole_groups() -> None:
    labels = np.array(["a"] * 100 + ["b"] * 53, dtype=object)
    groups = np.concatenate([np.arange(100) // 4, 1000 + np.arange(53)])
    fold = folds(labels, groups, 5, 7)
    assert all(len(set(fold[groups == group])) == 1 for group in groups)
    assert np.bincount(fold[:100]).tolist() == [20] * 5
    assert sorted(np.bincount(fold[100:]).tolist()) == [10, 10, 11, 11, 11]
    assert (fold == folds(labels, groups, 5, 7)).all()
    assert (fold != folds(labels, groups, 5, 8)).any()


def test_a_class_too_small_for_the_folds() -> None:
    labels = np.array(["a"] * 9 + ["b"] * 9, dtype=object)
    groups = np.concatenate([np.arange(9), np.repeat([20, 21, 22], 3)])
    with pytest.raises(InputError) as raised:
        folds(labels, groups, 5, 7)
    assert str(raised.value) == (
        "prepare.folds: class b has only 3 groups (near duplicates and images of one data.group_column value are one "
        "group), fewer than the 5 folds; use fewer folds"
    )


def test_the_folds_of_a_manifest_leave_test_alone_and_validation_out() -> None:
    rows = rows_of(a=40, b=40).assign(group=np.arange(80))
    rows["split"] = (["train"] * 25 + ["validation"] * 5 + ["test"] * 10) * 2
    seen = []
    for number in range(5):
        made = with_folds(rows, Prepare(image_size=16, resize="squash", fold=number), False, 7)
        assert (made["split"] == "test").equals(rows.loc[made.index, "split"] == "test")
        assert (rows.loc[made.index[made["split"] == "validation"], "split"] == "train").all()
        assert made["split"].value_counts().to_dict() == {"train": 40, "test": 20, "validation": 10}
        seen += made.index[made["split"] == "validation"].tolist()
    assert sorted(seen) == rows.index[rows["split"] == "train"].tolist()
    assert with_folds(rows, Prepare(image_size=16, resize="squash"), False, 7) is rows


def test_a_fold_for_calibration_is_none_of_validation_and_none_of_train() -> None:
    rows = rows_of(a=40, b=40).assign(group=np.arange(80) // 2)
    rows["split"] = "train"
    plain, with_fold = (Prepare(image_size=16, resize="squash", fold=fold) for fold in (None, 4))
    counted = with_folds(rows, plain, True, 7)["split"].value_counts().to_dict()
    assert counted == {"train": 64, "calibration": 16}
    both = with_folds(rows, with_fold, True, 7)
    assert both["split"].value_counts().to_dict() == {"train": 48, "validation": 16, "calibration": 16}
    assert (both.groupby("group")["split"].nunique() == 1).all()
    alone = with_folds(rows, with_fold, False, 7)["split"] == "validation"
    assert alone.equals(both["split"] == "validation")  # the fold that validates is the same without it
    with pytest.raises(InputError, match=r"2 folds for validation and calibration leave none for training; use 3"):
        with_folds(rows, Prepare(image_size=16, resize="squash", fold=1, folds=2), True, 7)


def mixed_groups(*groups: str) -> pd.DataFrame:
    """An image per letter, its class; the letters of a word are a group."""
    labels = [label for group in groups for label in group]
    numbers = [number for number, group in enumerate(groups) for _ in group]
    return pd.DataFrame({"split": "train", "label": labels, "group": numbers})


def refusals(rows: pd.DataFrame, folds: int) -> list[str]:
    """What each fold in the place of validation is refused for; those that are not hold every class."""
    texts = []
    for fold in range(folds):
        try:
            made = with_folds(rows, Prepare(image_size=16, resize="squash", fold=fold, folds=folds), False, 7)
        except InputError as error:
            texts.append(str(error))
        else:
            assert (pd.crosstab(made["split"], made["label"]) > 0).all(axis=None)
    return texts


def test_folds_that_cannot_hold_every_class() -> None:
    whole = (
        "because groups of several classes stay whole (near duplicates and images of one data.group_column value are "
        "one group); use another number of folds"
    )
    of_two = refusals(mixed_groups("ab", "bc", "ca"), 2)
    assert of_two[0] == of_two[1]
    assert re.sub("class .", "class x", of_two[0]) == (
        f"prepare.folds: all images of class x are in one fold, {whole}, or add images"
    )
    of_three = refusals(mixed_groups("ab", "bc", "ca", "ab", "c"), 3)
    assert len(of_three) == 1
    assert re.sub("class .", "class x", of_three[0]) == (
        f"prepare.folds: validation has no image of class x, {whole} or another prepare.fold, or add images"
    )
