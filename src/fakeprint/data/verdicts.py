"""A person's verdicts on suspected labels: keep an image as it is, drop it, or give it another label."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.data.validation import Checked
from fakeprint.errors import InputError, first_few, printable
from fakeprint.params import suggestion

CHECKED_VERDICTS = Path("data/checked/verdicts.csv")  # the copy that `check` makes of the file that params.yaml names
KEEP, DROP = "keep", "drop"
REASON = "dropped by a verdict"


@dataclass(frozen=True)
class Verdicts:
    """What a file of verdicts says.

    rows: image_id, split ("" where the file does not say) and verdict ("keep", "drop" or a label), of the lines whose
    verdict is not empty. name: of the file, for messages.
    """

    rows: pd.DataFrame
    name: str


def read_verdicts(path: Path, name: str) -> Verdicts:
    """Read a table such as `suspects.csv`: columns image_id and verdict, optionally split; others are ignored.

    name: the file's name in messages. Raises InputError if it is missing or no such table.
    """
    key = f"validate.verdicts: {name}"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run `dvc repro check` first") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{key} cannot be read as CSV: {' '.join(str(error).split())}") from None
    for column in ("image_id", "verdict"):
        if column not in table:
            raise InputError(
                f"{key} has no column '{column}' (its columns: {first_few(table.columns)}); copy the suspects.csv "
                "that `explain` writes, and fill in its column verdict"
            )
    table["split"] = table["split"].str.strip() if "split" in table else ""
    table["verdict"] = table["verdict"].str.strip()
    judged = table[table["verdict"] != ""]
    return Verdicts(judged[["image_id", "split", "verdict"]].reset_index(drop=True), name)


def applied(checked: Checked, listed: pd.DataFrame, verdicts: Verdicts) -> tuple[Checked, dict[str, Any]]:
    """Change labels and drop images, which are then set aside with a reason.

    listed: all rows of the source, image_id, split and label. Returns what is left, and for metrics/validate.json the
    number of images that were kept, dropped and relabelled, and what was changed, by image id. A verdict on an image
    that is not used (data.per_class, a file that cannot be read) changes nothing and is counted as unused.
    Raises InputError for an unknown image or label, two verdicts on one image, and a class that has no image left.
    """
    position = {(row.split, row.image_id): number for number, row in enumerate(checked.rows.itertuples())}
    labels = checked.rows["label"].to_numpy(dtype=object, copy=True)
    dropped = np.zeros(len(labels), dtype=bool)
    counts = {"kept": 0, "dropped": 0, "relabelled": 0, "unused": 0}
    changes: dict[str, str] = {}
    for split, image_id, verdict in _resolved(verdicts, listed, checked.classes):
        number = position.get((split, image_id))
        if number is None:
            counts["unused"] += 1
        elif verdict == DROP:
            dropped[number] = True
            counts["dropped"] += 1
            changes[image_id] = DROP
        elif verdict in (KEEP, labels[number]):
            counts["kept"] += 1
        else:
            changes[image_id] = f"{labels[number]} → {verdict}"
            labels[number] = verdict
            counts["relabelled"] += 1
    rows = checked.rows.assign(label=labels)
    aside = rows[dropped].assign(reason=REASON)[["path", "image_id", "split", "reason"]]
    left = rows[~dropped].reset_index(drop=True)
    _require_every_class(left, checked.classes, verdicts.name)
    return replace(
        checked,
        rows=left,
        scans=checked.scans.kept(np.flatnonzero(~dropped)),
        set_aside=pd.concat([checked.set_aside, aside], ignore_index=True),
    ), {**counts, "changes": dict(sorted(changes.items()))}


def _resolved(verdicts: Verdicts, listed: pd.DataFrame, classes: Sequence[str]) -> list[tuple[str, str, str]]:
    """The split and the id of each image as the source has them, and the verdict."""
    wanted = listed[listed["image_id"].isin(set(verdicts.rows["image_id"]))]
    splits: dict[str, dict[str, str | None]] = {}
    for image, name, label in zip(wanted["image_id"], wanted["split"], wanted["label"], strict=True):
        splits.setdefault(image, {})[name] = label
    found: dict[tuple[str, str], str] = {}
    key = f"validate.verdicts: {verdicts.name}"
    for image_id, named_split, verdict in verdicts.rows.itertuples(index=False):
        shown = printable(image_id)
        if image_id not in splits:
            raise InputError(f"{key}: the source has no image '{shown}'; correct or remove its line")
        if verdict not in (KEEP, DROP, *classes):
            raise InputError(
                f"{key}: image '{shown}': the verdict '{printable(verdict)}' is neither keep, drop nor a label"
                f"{suggestion(verdict, [KEEP, DROP, *classes])}"
            )
        # The source may lack the split that the image was put into later: then its id alone has to tell.
        split = named_split if named_split in splits[image_id] else next(iter(splits[image_id]))
        if named_split not in splits[image_id] and len(splits[image_id]) > 1:
            raise InputError(
                f"{key}: image '{shown}' is in several splits ({first_few(splits[image_id])}); name one in the column "
                "split"
            )
        if splits[image_id][split] is None:
            raise InputError(f"{key}: image '{shown}' has no label to judge; remove its line")
        if found.setdefault((split, image_id), verdict) != verdict:
            raise InputError(f"{key}: image '{shown}' has two verdicts; keep one")
    return [(split, image_id, verdict) for (split, image_id), verdict in found.items()]


def _require_every_class(rows: pd.DataFrame, classes: Sequence[str], name: str) -> None:
    left = set(rows.loc[rows["split"] == "train", "label"])
    gone = [label for label in classes if label not in left]
    if gone:
        raise InputError(
            f"validate.verdicts: {name} leaves {len(gone)} class(es) without train images: {first_few(gone)}"
        )
