"""What `validate` finds in a source, and the manifest of its usable images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.data.arrays import SPLITS
from fakeprint.data.duplicates import Pairs, duplicate_figures, find_duplicates, grouped
from fakeprint.data.leaks import leak_figures, leak_line, leaks
from fakeprint.data.manifest import COLUMNS
from fakeprint.data.scan import Scans, scan
from fakeprint.data.shortcuts import Audit, ColumnsOf, audit, audit_lines, columns_of, container_facts
from fakeprint.data.sources import NotTaken, Source, classes_of
from fakeprint.data.splits import far_from_requested, joined, reached_fractions, requested_splits, sampled, split_off
from fakeprint.data.traces import columns_by_fact
from fakeprint.errors import InputError, first_few
from fakeprint.params import Data, Validate


@dataclass(frozen=True)
class Validation:
    """What `validate` found.

    manifest: `COLUMNS`, one row per usable image that was not dropped. compared: the same and what was dropped as a
    leak, which `pairs` count. leaked: the leaks (`fakeprint.data.leaks`), their index into `compared`. set_aside: path,
    image_id, split, reason. shortcut, trace: how well container facts, and traces of compression and scaling,
    identify the class. sums: int64 (N, 2, 3), sum and sum of squares of each image's channels, as in the manifest.
    requested: fraction of train by split, of the splits that the source did not have. reached: the same by class.
    not_taken: the source's files that are in no split.
    """

    manifest: pd.DataFrame
    compared: pd.DataFrame
    leaked: pd.DataFrame
    set_aside: pd.DataFrame
    pairs: Pairs
    shortcut: Audit
    trace: Audit
    sums: np.ndarray
    requested: dict[str, float]
    reached: dict[str, dict[str, float]]
    not_taken: NotTaken

    @property
    def classes(self) -> list[str]:
        """The labels of train, in order."""
        return classes_of(self.manifest.loc[self.manifest["split"] == "train", "label"])


@dataclass(frozen=True)
class Checked:
    """The files of a source: rows that decode, with their `scans`, and rows set aside.

    listed: number of all rows. classes: the labels of train before any file was set aside.
    """

    rows: pd.DataFrame
    scans: Scans
    set_aside: pd.DataFrame
    listed: int
    classes: list[str]


def check_files(source: Source, data: Data, seed: int, workers: int | None) -> Checked:
    """Decode the files of the sampled rows; set aside, with a reason, what cannot be used."""
    rows = sampled(source.rows, data.per_class, seed)
    has_file = np.flatnonzero(rows["path"].notna())
    scans, reasons = scan(
        container=source.container,
        names=rows.loc[has_file, "path"].tolist(),
        max_pixels=data.max_pixels,
        workers=workers,
    )
    usable = np.zeros(len(rows), dtype=bool)
    usable[np.delete(has_file, list(reasons))] = True
    reason_of = {int(has_file[place]): reason for place, reason in reasons.items()}
    bad = rows[~usable].assign(reason=[reason_of.get(row, "missing") for row in np.flatnonzero(~usable).tolist()])
    bad = pd.concat([bad, source.repeated.assign(reason="repeated row")], ignore_index=True)
    return Checked(
        rows=rows[usable].reset_index(drop=True),
        scans=scans,
        set_aside=bad[["path", "image_id", "split", "reason"]],
        listed=len(rows) + len(source.repeated),
        classes=classes_of(rows.loc[rows["split"] == "train", "label"]),
    )


def unsampled_tests(source: Source, checked: Checked) -> set[str]:
    """The ids of the source's own test images that data.per_class left out."""
    listed, used, aside = (
        set(rows.loc[rows["split"] == "test", "image_id"]) for rows in (source.rows, checked.rows, checked.set_aside)
    )
    return listed - used - aside


def require_few_bad(checked: Checked, max_fraction: float) -> None:
    """Raises InputError if more than `max_fraction` of the files were set aside, or a class has none left."""
    bad = checked.set_aside[checked.set_aside["reason"] != "repeated row"]
    if len(bad) > max_fraction * checked.listed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in bad["reason"].value_counts(sort=False).items())
        raise InputError(
            f"{len(bad)} of {checked.listed} files cannot be used ({reasons}): {first_few(bad['image_id'])}; more "
            f"than validate.max_bad_fraction ({max_fraction:g}) allows; all are in reports/validate/set_aside.csv"
        )
    left = checked.rows.loc[checked.rows["split"] == "train", "label"]
    gone = [label for label in checked.classes if label not in set(left)]
    if gone:
        raise InputError(
            f"{len(gone)} class(es) have no usable train image left: {first_few(gone)}; "
            "see reports/validate/set_aside.csv"
        )


def build(checked: Checked, source: Source, data: Data, settings: Validate, seed: int) -> Validation:
    """Find duplicates and leaks, split off what the source lacks, audit container facts and traces.

    Raises:
        InputError: dropped leaks leave a class without train images, or no validation split can be made.
    """
    scans = checked.scans
    pairs = find_duplicates(
        np.ascontiguousarray(scans.pixels).view("V16")[:, 0],
        scans.phashes,
        scans.thumbnails,
        settings.near_duplicate_bits,
    )
    rows = checked.rows.copy()
    for column in ("width", "height", "mode", "format", "bytes"):
        rows[column] = [getattr(facts, column) for facts in scans.facts]
    rows["pixels"] = [digest.tobytes().hex() for digest in scans.pixels]
    rows["group"] = joined(grouped(pairs, len(rows)), rows["group_name"])
    leaked = leaks(rows, data.group_column)
    kept = ~rows.index.isin(leaked.index) if settings.on_leak == "drop" else np.ones(len(rows), dtype=bool)
    manifest = rows[kept].reset_index(drop=True)
    _require_train_images(manifest, checked.classes)
    requested = requested_splits(source.splits, data)
    manifest["split"] = split_off(manifest, manifest["group"].to_numpy(), requested, seed)
    rows.loc[kept, "split"] = manifest["split"].to_numpy()
    places = np.flatnonzero(kept)
    traced = [new for new, row in enumerate(places.tolist()) if row in scans.traces]
    traces = columns_by_fact(np.stack([scans.traces[row] for row in places[traced].tolist()]))
    facts = container_facts([scans.facts[row] for row in places])
    return Validation(
        manifest=manifest[COLUMNS],
        compared=rows[COLUMNS],
        leaked=leaked,
        set_aside=checked.set_aside,
        pairs=pairs,
        shortcut=_audited(manifest, facts, seed, "shortcut"),
        trace=_audited(manifest.iloc[traced], columns_of(traces), seed, "trace"),
        sums=scans.sums[places],
        requested=requested,
        reached=reached_fractions(manifest, requested),
        not_taken=source.not_taken,
    )


def _require_train_images(manifest: pd.DataFrame, classes: list[str]) -> None:
    left = set(manifest.loc[manifest["split"] == "train", "label"])
    gone = [label for label in classes if label not in left]
    if gone:
        raise InputError(
            f"validate.on_leak: drop leaves {len(gone)} class(es) without train images: {first_few(gone)}; all of them "
            "are duplicates of validation or test images, or share a group with some"
        )


def _audited(rows: pd.DataFrame, facts: ColumnsOf, seed: int, purpose: str) -> Audit:
    known = np.flatnonzero(rows["label"].notna())
    labels, groups = (rows[column].to_numpy()[known] for column in ("label", "group"))
    return audit(lambda some: facts(known[some]), labels, groups, seed, purpose)


def channel_figures(found: Validation, rows: np.ndarray) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each channel over all pixels of these rows, in grey levels, 0–255."""
    pixels = int((found.manifest["width"] * found.manifest["height"]).to_numpy()[rows].sum())
    sums, squares = found.sums[rows].sum(axis=0)
    figures = {}
    for number, channel in enumerate(("red", "green", "blue")):
        mean = int(sums[number]) / pixels
        variance = max(0.0, int(squares[number]) / pixels - mean**2)
        figures[channel] = {"mean": round(mean, 3), "std": round(variance**0.5, 3)}
    return figures


def figures(found: Validation, settings: Validate, listed: int) -> dict[str, Any]:
    """The content of metrics/validate.json."""
    manifest = found.manifest
    train = manifest.loc[manifest["split"] == "train", "label"].value_counts()
    reasons = found.set_aside["reason"].value_counts().sort_index()
    return {
        "images": {split: int((manifest["split"] == split).sum()) for split in SPLITS},
        "classes": len(found.classes),
        "smallest_class": int(train.min()),
        "largest_class": int(train.max()),
        "set_aside": {
            "files": len(found.set_aside),
            "fraction": round(len(found.set_aside) / listed, 6),
            **{str(reason): int(count) for reason, count in reasons.items()},
        },
        "not_taken": {
            "images_outside_splits": sum(found.not_taken.folders.values()),
            "images_in_no_table": found.not_taken.unlisted,
            "other_files": found.not_taken.other,
        },
        "duplicates": {
            **duplicate_figures(found.pairs, found.compared),
            "search_complete": found.pairs.complete,
        },
        "leaks": leak_figures(found.leaked, dropped=settings.on_leak == "drop"),
        "split_off": {
            split: {
                "requested": fraction,
                "reached": {label: round(share, 6) for label, share in found.reached[split].items()},
            }
            for split, fraction in found.requested.items()
        },
        "shortcut": found.shortcut.figures(settings.max_shortcut_excess),
        "traces": found.trace.figures(settings.max_shortcut_excess),
        "train_channels": channel_figures(found, np.flatnonzero(manifest["split"] == "train")),
    }


def require_allowed(found: Validation, settings: Validate) -> None:
    """Raises InputError for a leak or an audit that params.yaml says to stop at."""
    if settings.on_leak == "stop" and len(found.leaked):
        raise InputError(leak_line(found.leaked, settings.on_leak))
    for line in _audit_lines(found, settings, "stop"):
        raise InputError(line)


def notes(found: Validation, settings: Validate) -> list[str]:
    """Audits that params.yaml says to mention, one line each."""
    return [f"note: {line}" for line in _audit_lines(found, settings, "note")]


def _audit_lines(found: Validation, settings: Validate, wanted: str) -> list[str]:
    return [line for action, line in audit_lines(found.shortcut, found.trace, settings) if action == wanted]


def warnings(found: Validation, settings: Validate) -> list[str]:
    """What to know before training, one line each."""
    lines = [f"the source has no {split} split: one was split off train" for split in found.requested]
    lines += split_off_lines(found)
    if len(found.set_aside):
        lines.append(f"{len(found.set_aside)} file(s) set aside, see reports/validate/set_aside.csv")
    lines += not_taken_lines(found.not_taken)
    if len(found.leaked):
        lines.append(leak_line(found.leaked, settings.on_leak))
    counted = duplicate_figures(found.pairs, found.compared)
    for kind in ("exact", "near"):
        if count := counted[f"{kind}_pairs_of_two_labels"]:
            lines.append(f"{count} pair(s) of {kind} duplicates with two labels, see reports/validate/duplicates.csv")
    if not found.pairs.complete:
        lines.append(
            "too many pictures share a hash for the search for near duplicates to compare all: some may be missed"
        )
    return [f"warning: {line}" for line in lines + _audit_lines(found, settings, "warn")]


def not_taken_lines(not_taken: NotTaken) -> list[str]:
    """What of the source is in no split, one line each; at most five folders by name."""
    lines = []
    if not_taken.folders:
        listed = first_few(f"{folder} ({count})" for folder, count in sorted(not_taken.folders.items()))
        lines.append(
            f"{sum(not_taken.folders.values())} image(s) are outside the splits' folders and are not used: {listed}; "
            "move them into a class folder of a split if they belong to the data"
        )
    if not_taken.unlisted:
        lines.append(f"{not_taken.unlisted} image(s) are in no csv and are not used")
    if not_taken.other:
        lines.append(f"{not_taken.other} other file(s) of the source are not used")
    if not_taken.unread:
        listed = first_few(f"{extension} ({count})" for extension, count in not_taken.unread.items())
        lines.append(
            f"{sum(not_taken.unread.values())} of them are images of formats that are not read: {listed}; convert "
            "them, for example to PNG, if they belong to the data"
        )
    return lines


def split_off_lines(found: Validation) -> list[str]:
    """Where groups kept a split from the requested fractions: classes without images in it, and classes far off."""
    lines = []
    for split, classes in far_from_requested(found.manifest, found.requested, found.reached).items():
        reached = found.reached[split]
        none = [label for label in classes if not reached[label]]
        off = [f"{label} {reached[label]:.3f}" for label in classes if reached[label]]
        if none:
            lines.append(
                f"{split} has no image of {len(none)} class(es): {first_few(none)}; there are too few groups (near "
                f"duplicates, data.group_column) for both train and {split}"
            )
        if off:
            lines.append(
                f"{split} does not have the requested share ({found.requested[split]:g}) of {len(off)} class(es), "
                f"because groups stay together: {first_few(off)}; all are in metrics/validate.json"
            )
    return lines
