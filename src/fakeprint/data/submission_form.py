"""The ids, their order and the header of a submission, as the source gives them."""

from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

import pandas as pd

from fakeprint.data.containers import Container
from fakeprint.data.tables import read_table
from fakeprint.errors import InputError, first_few

SAMPLE = "sample_submission.csv"


def submission_form(
    container: Container,
    name: str | None,
    image_column: str,
    label_column: str,
    test_ids: Sequence[str],
    left_out: Collection[str] = (),
) -> pd.DataFrame:
    """A submission whose label column is not filled in yet, all columns str.

    Args:
        container: the source.
        name: its sample_submission.csv, or the csv of its test split, whose ids are taken; None takes `test_ids`.
        image_column: the column of the ids.
        label_column: the column to fill in.
        test_ids: the ids of the test images that are used.
        left_out: ids of test images that were not sampled, which the form does not ask for either.

    Raises:
        InputError: the csv lacks a column.
    """
    if name is None:
        return pd.DataFrame({image_column: list(test_ids), label_column: ""}, dtype="str")
    frame = read_table(container, name)
    is_sample = PurePosixPath(name).name.lower() == SAMPLE
    columns = [image_column, label_column] if is_sample else [image_column]
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise InputError(
            f"{name} has no column '{missing[0]}' (its columns: {first_few(frame.columns)}); set data.image_column "
            "and data.label_column"
        )
    frame = frame[~frame[image_column].isin(left_out)]
    return frame if is_sample else frame[[image_column]].assign(**{label_column: ""})
