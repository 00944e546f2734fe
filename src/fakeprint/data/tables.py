"""The csv files of a source."""

import io

import pandas as pd

from fakeprint.data.containers import Container
from fakeprint.data.decode import Unreadable
from fakeprint.errors import InputError, printable

MOST_BYTES = 2**28  # of a csv: some millions of rows
LONGEST_HEADING = (
    2**20
)  # bytes; a file without a line break is not a table, and a million columns would fill the memory


def read_table(container: Container, name: str) -> pd.DataFrame:
    """A csv, headings and cells as stripped text (object columns).

    Raises InputError for a file that is not CSV, not UTF-8, or longer than `MOST_BYTES`, and for two equal headings.
    """
    shown = container.path / name
    try:
        content = container.read(name, MOST_BYTES)
    except Unreadable as error:
        limit = f" (more than {MOST_BYTES // 2**20} MiB)" if error.reason == "too large" else ""
        raise InputError(f"{shown} cannot be read: {error.reason}{limit}") from None
    if len(content) > LONGEST_HEADING and b"\n" not in content[:LONGEST_HEADING]:
        raise InputError(f"{shown} is not a CSV file: its first line has no line break")
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
            index_col=False,
        ).astype(object)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{shown} cannot be read as CSV: {' '.join(str(error).split())}") from None
    table.columns = [str(column).strip() for column in table.columns]
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise InputError(f"{shown} has two columns '{printable(twice[0])}'; rename or delete one")
    return table.apply(lambda column: column.str.strip()).astype(object)
