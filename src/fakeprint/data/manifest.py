"""The manifest: every usable image of a source, with its final split; and where the form of a submission lies."""

from pathlib import Path

import pandas as pd

from fakeprint.errors import InputError
from fakeprint.files import written

MANIFEST = Path("data/manifest.parquet")
FORM = Path("data/submission_form.csv")
COLUMNS = ["image_id", "split", "label", "path", "width", "height", "mode", "format", "bytes", "group"]


def load_manifest(path: Path = MANIFEST) -> pd.DataFrame:
    """Read the manifest, label None where unknown. Raises InputError where `validate` has not run."""
    if not path.exists():
        raise InputError(f"{path} is missing: run `dvc repro validate` first")
    table = pd.read_parquet(path)
    if not set(COLUMNS) <= set(table):
        raise InputError(f"{path} is of an earlier version: run `dvc repro validate` first")
    labels = table["label"].astype(object)
    return table.assign(label=labels.where(labels.notna(), None))


def save_manifest(rows: pd.DataFrame, path: Path = MANIFEST) -> None:
    """Write the manifest: `COLUMNS`, one row a usable image, in the source's order.

    group: int64, equal for near duplicates of each other.
    """
    with written(path) as partial:
        rows[COLUMNS].to_parquet(partial, index=False)
