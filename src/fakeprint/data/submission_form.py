"""The ids, their order and the header of a submission, as the source gives them."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import pandas as pd

from fakeprint.data.containers import Container
from fakeprint.data.tables import read_table
from fakeprint.errors import InputError, first_few

SAMPLE = "sample_submission.csv"
TEST = "test.csv"


def submission_form(source: Container, image_column: str, label_column: str, test_ids: Sequence[str]) -> pd.DataFrame:
    """A submission whose label column is not filled in yet.

    The source's sample_submission.csv, else the ids of its test.csv, else `test_ids` (where the source has neither,
    or the test split was split off). All columns are str. Raises InputError for a file without the columns.
    """
    for file, columns in ((SAMPLE, [image_column, label_column]), (TEST, [image_column])):
        name = _nearest(source.names, file)
        if name is None:
            continue
        frame = read_table(source, name)
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise InputError(
                f"{name} has no column '{missing[0]}' (its columns: {first_few(frame.columns)}); set data.image_column "
                "and data.label_column"
            )
        return frame if file == SAMPLE else frame[[image_column]].assign(**{label_column: ""})
    return pd.DataFrame({image_column: list(test_ids), label_column: ""}, dtype="str")


def _nearest(names: Sequence[str], file: str) -> str | None:
    """The file of this name with the shortest path: archives often hold one folder around everything."""
    found = [name for name in names if PurePosixPath(name).name.lower() == file]
    return min(found, key=lambda name: (name.count("/"), name), default=None)
