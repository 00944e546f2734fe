from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakeprint.data.splits import folds, sampled, split_off, with_fold
from fakeprint.errors import InputError
from fakeprint.params import Data, Prepare


def rows_of(**counts: int) -> pd.DataFrame:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return pd.DataFrame({"split": "train", "label": labels, "path": [str(place) for place in range(len(labels))]})


def data(**options: Any) -> Data:
    return Data(
        **{"title": "", "path": "", "layout": "csv", "validation_fraction": 0.2, "test_fraction": 0.1, **options}
    )


def test_split_off_is_stratified_seeded_and_leaves_the_others() -> None:
    rows = rows_of(a=100, b=50)
    groups = np.arange(150)
    split = split_off(rows, groups, ["train"], data(), 7)
    for label, count in (("a", 100), ("b", 50)):
        mine = split[rows["label"] == label].value_counts().to_dict()
        assert mine == {"train": 0.7 * count, "validation": 0.2 * count, "test": 0.1 * count}
    assert split.equals(split_off(rows, groups, ["train"], data(), 7))
    assert not split.equals(split_off(rows, groups, ["train"], data(), 8))
    assert (split_off(rows, groups, ["train", "validation"], data(test_fraction=0), 7) == "train").all()


def test_near_duplicates_stay_on_one_side() -> None:
    rows = rows_of(a=120, b=120)
    groups = np.arange(240) // 4
    split = split_off(rows, groups, ["train", "test"], data(), 7)
    assert all(split[groups == group].nunique() == 1 for group in range(60))
    assert (split == "validation").sum() == 48


def test_every_class_keeps_an_image_on_each_side_where_it_has_two() -> None:
    rows = rows_of(a=2, b=40)
    split = split_off(rows, np.arange(42), ["train", "test"], data(validation_fraction=0.01), 7)
    assert sorted(split[rows["label"] == "a"]) == ["train", "validation"]


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


def test_folds_are_stratified_seeded_and_of_whole_groups() -> None:
    labels = np.array(["a"] * 100 + ["b"] * 53, dtype=object)
    groups = np.concatenate([np.arange(100) // 4, 1000 + np.arange(53)])
    fold = folds(labels, groups, 5, 7)
    assert all(len(set(fold[groups == group])) == 1 for group in groups)
    assert np.bincount(fold[:100]).tolist() == [20] * 5
    assert sorted(np.bincount(fold[100:]).tolist()) == [10, 10, 11, 11, 11]
    assert (fold == folds(labels, groups, 5, 7)).all()
    assert (fold != folds(labels, groups, 5, 8)).any()
    assert (fold[:100] == folds(labels[:100], groups[:100], 5, 7)).all()  # no class depends on another


def test_a_class_too_small_for_the_folds() -> None:
    labels = np.array(["a"] * 9 + ["b"] * 9, dtype=object)
    groups = np.concatenate([np.arange(9), np.repeat([20, 21, 22], 3)])
    with pytest.raises(InputError) as said:
        folds(labels, groups, 5, 7)
    assert str(said.value) == (
        "prepare.folds: 5 folds of train, but class b has fewer images than that (3, near duplicates counted once); "
        "ask for fewer folds"
    )


def test_the_folds_of_a_manifest_leave_test_alone_and_validation_out() -> None:
    rows = rows_of(a=40, b=40).assign(group=np.arange(80))
    rows["split"] = (["train"] * 25 + ["validation"] * 5 + ["test"] * 10) * 2
    seen = []
    for number in range(5):
        made = with_fold(rows, Prepare(image_size=16, resize="squash", fold=number), 7)
        assert (made["split"] == "test").equals(rows.loc[made.index, "split"] == "test")
        assert (rows.loc[made.index[made["split"] == "validation"], "split"] == "train").all()
        assert made["split"].value_counts().to_dict() == {"train": 40, "test": 20, "validation": 10}
        seen += made.index[made["split"] == "validation"].tolist()
    assert sorted(seen) == rows.index[rows["split"] == "train"].tolist()
    assert with_fold(rows, Prepare(image_size=16, resize="squash"), 7) is rows
