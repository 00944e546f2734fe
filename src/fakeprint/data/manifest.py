"""The manifest: every usable image of a source, with its final split; and the path of the submission form."""

from pathlib import Path

import pandas as pd

from fakeprint.errors import InputError
from fakeprint.files import written

MANIFEST = Path("data/manifest.parquet")
FORM = Path("data/submission_form.csv")
COLUMNS = [
    *("image_id", "split", "label", "generator", "path"),
    *("width", "height", "mode", "format", "bytes", "pixels", "group"),
]


def load_manifest(path: Path = MANIFEST) -> pd.DataFrame:
    """Read the manifest, label and generator None where unknown. Raises InputError where `validate` has not run."""
    if not path.exists():
        raise InputError(f"{path} is missing: run `dvc repro validate` first")
    table = pd.read_parquet(path)
    if not set(COLUMNS) <= set(table):
        raise InputError(f"{path} was written by an earlier version: run `dvc repro validate` first")
    for column in ("label", "generator"):
        values = table[column].astype(object)
        table[column] = values.where(values.notna(), None)
    return table


def save_manifest(rows: pd.DataFrame, path: Path = MANIFEST) -> None:
    """Write the manifest: `COLUMNS`, one row per usable image, in the source's order.

    generator: the image's generator (for a real image, the generator whose fakes it is compared with) where the source
    names it, else None.
    pixels: hexadecimal digest of the decoded image, so that any changed image changes the manifest. group:
    int64, equal for images that stay in one split (near duplicates, one value of the group column).
    """
    with written(path) as partial:
        rows[COLUMNS].to_parquet(partial, index=False)
