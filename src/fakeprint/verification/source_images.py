"""The validation split of a source in any layout, found as `validate` and `prepare` find it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.data import validation
from fakeprint.data.arrays import Dataset
from fakeprint.data.containers import Container
from fakeprint.data.preparation import prepared
from fakeprint.data.scan import stream
from fakeprint.data.sources import Source, open_source
from fakeprint.data.splits import sampled, with_folds
from fakeprint.data.verdicts import applied, read_verdicts
from fakeprint.errors import InputError, first_few, printable
from fakeprint.params import Data, Prepare, Validate, suggestion, validated
from fakeprint.verification.card import SOURCE_KEYS, source_of
from fakeprint.verification.images import SPLIT, WHAT, Image


@dataclass(frozen=True)
class SourceImages:
    """The validation split of a source: rows with image_id, label and path, of which None is a missing file."""

    container: Container
    rows: pd.DataFrame
    dataset: Dataset
    title: str
    source: dict[str, Any]
    workers: int | None

    def __iter__(self) -> Iterator[Image]:
        number = {label: index for index, label in enumerate(self.dataset.classes)}
        ids, labels = self.rows["image_id"].tolist(), [number[label] for label in self.rows["label"]]
        present = np.flatnonzero(self.rows["path"].notna())
        for row in np.flatnonzero(self.rows["path"].isna()):
            yield Image(ids[row], labels[row], "missing")
        paths = self.rows["path"].iloc[present].tolist()
        use = partial(prepared, dataset=self.dataset)
        for place, pixels in stream(self.container, paths, self.dataset.max_pixels, use, self.workers, WHAT):
            row = present[place]
            yield Image(ids[row], labels[row], pixels)

    def __len__(self) -> int:
        return len(self.rows)


def of_source(
    path: Path,
    title: str,
    keys: Mapping[str, Any],
    dataset: Dataset,
    workers: int | None,
    name: str,
    verdicts: Path | None = None,
) -> SourceImages:
    """The validation split of a folder, .zip or .tar, in any layout, as `validate` and `prepare` find it.

    A source with a validation split of its own is listed only. Where that is split off train, or replaced by a fold,
    every image is decoded to find the groups, as `validate` does; so it is where there are verdicts.

    Args:
        path: the source.
        title: of the data, for messages.
        keys: values of `card.SOURCE_KEYS`; what is missing has the default of params.yaml.
        dataset: of the model.
        workers: processes that decode; None for all cores.
        name: where the keys come from, for messages.
        verdicts: a table of verdicts on labels, as `validate.verdicts`; None for none.

    Raises:
        InputError: a key, the source or the verdicts are unusable, or validation has a class that the model does not
            know.
    """
    data, checks, prepare, seed = _settings(path, title, keys, dataset, name)
    source = open_source(data)
    listed = SPLIT in source.splits and prepare.fold is None and checks.on_leak != "drop"
    if listed and verdicts is None:
        rows = sampled(source.rows, data.per_class, seed)
    else:
        manifest = _manifest(source, data, checks, seed, workers, verdicts)
        rows = with_folds(manifest, prepare, calibration=False, seed=seed)
    rows = rows[(rows["split"] == SPLIT) & rows["label"].notna()]
    unknown = sorted(set(rows["label"]) - set(dataset.classes))
    if unknown:
        raise InputError(
            f"{path}: its validation images have {len(unknown)} class(es) that the model does not know: "
            f"{first_few(unknown)} (known: {first_few(dataset.classes)})"
        )
    if not len(rows):
        raise InputError(f"{path} has no labelled validation images")
    return SourceImages(source.container, rows, dataset, title, source_of(seed, data, checks, prepare), workers)


def _settings(
    path: Path, title: str, keys: Mapping[str, Any], dataset: Dataset, name: str
) -> tuple[Data, Validate, Prepare, int]:
    blocks: dict[str, dict[str, Any]] = {
        "data": {"title": title, "path": str(path), "layout": "csv", "max_pixels": dataset.max_pixels},
        "validate": {  # the checks themselves do not run
            "max_bad_fraction": 1.0,
            "near_duplicate_bits": 4,
            "max_shortcut_excess": 1.0,
            "on_shortcut": "warn",
            "sample_images": 1,
        },
        "prepare": {"image_size": dataset.image_size, "resize": dataset.resize},
    }
    seed = keys.get("seed", 7)
    if type(seed) is not int or seed < 0:
        raise InputError(f"{name}: seed should be a whole number, 0 or more, not {printable(repr(seed))}")
    for key, value in keys.items():
        if key not in SOURCE_KEYS:  # a card must not say which files are read
            raise InputError(
                f"{name}: {printable(key)} does not say how images are found{suggestion(key, SOURCE_KEYS)}"
            )
        block, _, last = key.rpartition(".")
        if block:
            blocks[block][last] = value
    data = validated(Data, blocks["data"], "data", name)
    checks = validated(Validate, blocks["validate"], "validate", name)
    return data, checks, validated(Prepare, blocks["prepare"], "prepare", name), seed


def _manifest(
    source: Source, data: Data, checks: Validate, seed: int, workers: int | None, verdicts: Path | None
) -> pd.DataFrame:
    checked = validation.check_files(source, data, seed, workers)
    if verdicts is not None:
        checked, _ = applied(checked, source.rows, read_verdicts(verdicts, str(verdicts)))
    return validation.build(checked, source, data, checks, seed).manifest
