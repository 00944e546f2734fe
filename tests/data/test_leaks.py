import pandas as pd

from fakeprint.data.leaks import leak_figures, leak_line, leaks


def rows_of(*images: tuple[str, int, str, str | None]) -> pd.DataFrame:
    """Images by split, group, pixels and name of their group."""
    rows = pd.DataFrame(images, columns=["split", "group", "pixels", "group_name"], dtype=object)
    ids = [f"i{row}" for row in range(len(rows))]
    return rows.astype({"group": int}).assign(image_id=ids, path=ids, label="a")


def test_the_training_side_of_a_group_in_two_splits_is_named_with_the_reason() -> None:
    rows = rows_of(
        ("train", 0, "p", None),  # exact duplicate of i1
        ("validation", 0, "p", None),  # near duplicate of i2
        ("test", 0, "q", None),
        ("train", 1, "r", "film"),
        ("validation", 1, "s", "film"),
        ("train", 2, "t", "other"),  # alone
        ("train", 3, "u", None),  # a group within train
        ("train", 3, "v", None),
        ("train", 4, "w", "cut"),  # linked to test by near duplicates of i9
        ("train", 4, "x", "cut"),
        ("test", 4, "y", None),
    )
    found = leaks(rows, "film_id")
    assert found[["image_id", "split", "reason", "held_out"]].to_numpy().tolist() == [
        ["i0", "train", "exact duplicate", "test"],
        ["i1", "validation", "near duplicate", "test"],
        ["i3", "train", "same film_id", "validation"],
        ["i8", "train", "near duplicate", "test"],
        ["i9", "train", "near duplicate", "test"],
    ]
    assert leak_figures(found, dropped=True) == {
        "images": 5,
        "groups": 3,
        "dropped": 5,
        "exact duplicate": 1,
        "near duplicate": 3,
        "same film_id": 1,
    }
    reasons = "(1 exact duplicate, 3 near duplicate, 1 same film_id), see reports/validate/leaks.csv"
    assert leak_line(found, "drop") == (
        f"5 image(s) of train and validation were dropped because their group also has held-out images {reasons}"
    )
    assert leak_line(found, "stop") == (
        f"5 image(s) of train and validation share a group with held-out images {reasons}; "
        "validate.on_leak: drop removes them"
    )


def test_no_leak() -> None:
    found = leaks(rows_of(("train", 0, "p", "v"), ("test", 1, "q", None)), None)
    assert found.empty
    assert leak_figures(found, dropped=False) == {"images": 0, "groups": 0, "dropped": 0}
