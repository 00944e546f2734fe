"""The csv files of a source."""

import csv
import io
from pathlib import Path

import pandas as pd

from fakeprint.data.containers import Container
from fakeprint.data.decode import Unreadable, without_warnings
from fakeprint.errors import InputError, printable

MOST_BYTES = 2**28  # of a csv: some millions of rows
LONGEST_HEADING = (
    2**20
)  # bytes; a file without a line break is not a table, and a million columns would fill the memory


def read_table(container: Container, name: str) -> pd.DataFrame:
    """A csv, headings and cells as stripped text (object columns).

    Raises InputError for a file that is not CSV, not UTF-8, or longer than `MOST_BYTES`, for a row with more cells than
    headings, and for two equal headings. Surplus cells that are empty (a comma at the end of each row) do no harm.
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
        _require_headings_of_all_cells(content, shown)
        with without_warnings():  # of surplus cells, which are empty
            table = pd.read_csv(
                io.BytesIO(content),
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                skipinitialspace=True,
                index_col=False,
            ).astype(object)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown} cannot be read as CSV: {' '.join(str(error).split())}") from None
    table.columns = [str(column).strip() for column in table.columns]
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise InputError(f"{shown} has two columns '{printable(twice[0])}'; rename or delete one")
    return table.apply(lambda column: column.str.strip()).astype(object)


def _require_headings_of_all_cells(content: bytes, shown: Path) -> None:
    """Raises InputError for a row that is longer than the headings, if the first row is.

    Then pandas would cut all rows to the headings, and cells would be in wrong columns. If the first row is not longer,
    pandas refuses any that is.
    """
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""), skipinitialspace=True)
    headings = next((cells for cells in rows if _has_text(cells)), [])
    for cells in rows:
        if _has_text(cells[len(headings) :]):
            raise InputError(
                f"{shown}, line {rows.line_num}: {len(cells)} cells for {len(headings)} headings; put text that "
                "contains a comma in double quotes"
            )
        if len(cells) <= len(headings) and _has_text(cells):
            return


def _has_text(cells: list[str]) -> bool:
    return any(cell.strip() for cell in cells)
