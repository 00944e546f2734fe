"""Leaks: images of one group in two splits of the source, so that a model would be tested on what it has seen."""

import numpy as np
import pandas as pd

from fakeprint.data.arrays import SPLITS

REPORTED = "reports/validate/leaks.csv"
COLUMNS = ["path", "image_id", "split", "label", "reason", "held_out", "group"]


def leaks(rows: pd.DataFrame, group_column: str | None) -> pd.DataFrame:
    """Images of train whose group is in validation or test too, and images of validation whose group is in test too.

    Unlabelled test images count: they are what a submission is scored on.

    Args:
        rows: path, image_id, split, label, group (int64), pixels (digests) and group_name (str or None).
        group_column: the name of that column, for reports.

    Returns:
        `COLUMNS`, with the index of `rows`. held_out: the other split, test where there are both. reason: "exact
        duplicate", else "same GROUP_COLUMN", else "near duplicate", also through images in between.
    """
    rank = rows["split"].map(SPLITS.index).astype(np.int64)
    highest = _highest(rank, rows["group"])
    found = rows[highest > rank]
    reason = np.where(
        (_highest(rank, rows["pixels"]) > rank)[found.index],
        "exact duplicate",
        np.where((_highest(rank, rows["group_name"]) > rank)[found.index], f"same {group_column}", "near duplicate"),
    )
    held_out = highest[found.index].map(dict(enumerate(SPLITS)))
    return found.assign(reason=reason, held_out=held_out)[COLUMNS]


def leak_figures(found: pd.DataFrame, dropped: bool) -> dict[str, int]:
    """Counts for metrics: images on the training side, their groups, how many were dropped, images by reason."""
    reasons = found["reason"].value_counts().sort_index()
    return {
        "images": len(found),
        "groups": int(found["group"].nunique()),
        "dropped": len(found) if dropped else 0,
        **{str(reason): int(count) for reason, count in reasons.items()},
    }


def leak_line(found: pd.DataFrame, on_leak: str) -> str:
    """One line on what was found, for a warning or for the error that stops the run."""
    by_reason = ", ".join(f"{count} {reason}" for reason, count in found["reason"].value_counts().sort_index().items())
    splits = " and ".join(split for split in SPLITS if (found["split"] == split).any())
    if on_leak == "drop":
        return (
            f"{len(found)} image(s) of {splits} were dropped because their group also has held-out images "
            f"({by_reason}), see {REPORTED}"
        )
    return (
        f"{len(found)} image(s) of {splits} share a group with held-out images ({by_reason}), see {REPORTED}; "
        "validate.on_leak: drop removes them"
    )


def _highest(rank: pd.Series, keys: pd.Series) -> pd.Series:
    """The highest rank among the images with the same key; an image's own rank if it has no key."""
    return rank.groupby(keys).transform("max").fillna(rank)
