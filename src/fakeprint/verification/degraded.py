"""The part of a card on degraded images: taken from the table that the stage `predict_degraded` leads to."""

import csv
from pathlib import Path

from fakeprint.errors import InputError, printable
from fakeprint.verification.card import DIGITS, Degraded, Interval, Measured
from fakeprint.verification.figures import agrees

CLEAN = "clean"  # the cell of images as they are
COLUMNS = ("model", "cell", "accuracy", "accuracy_low", "accuracy_high")


def of_table(path: Path, model: str, measured: Measured | None, confidence: float) -> Degraded:
    """The accuracies of a model on degraded images.

    Args:
        path: metrics/robustness.csv, or a table like it.
        model: the name of its rows.
        measured: the card's figures on the same images, not degraded.
        confidence: of the table's intervals.

    Raises:
        InputError: the table cannot be read, has no such rows, or is of other images than the card's figures.
    """
    rows = {row["cell"]: row for row in _rows(path) if row["model"] == model}
    if CLEAN not in rows or len(rows) < 2:
        raise InputError(f"{path} has no rows of {model} on clean and on degraded images")
    if measured is None or "accuracy" not in measured.figures:
        raise InputError(f"{path}: the card has no accuracy to compare it with; give the images with --data PATH too")
    recorded, clean = measured.figures["accuracy"], _number(path, rows[CLEAN], "accuracy")
    if not (agrees(recorded.value, clean, recorded.digits) or _may_be_cross_fitted(path, rows[CLEAN], measured)):
        raise InputError(
            f"{path}: {model} has an accuracy of {clean:.4f} on clean images, and the card says {recorded.value}: "
            "it is of another model or other images"
        )
    return Degraded(
        images=measured.images,
        confidence=confidence,
        accuracy={
            cell: Interval(
                value=round(_number(path, row, "accuracy"), DIGITS),
                low=round(_number(path, row, "accuracy_low"), DIGITS),
                high=round(_number(path, row, "accuracy_high"), DIGITS),
            )
            for cell, row in rows.items()
            if cell != CLEAN
        },
    )


def _may_be_cross_fitted(path: Path, clean: dict[str, str], measured: Measured) -> bool:
    """Whether the table's row of clean images may be the cross-fitted figure of the model on the card.

    The card's own is then of a calibration or combination that was fitted on all of these images.
    """
    low, high = (_number(path, clean, column) for column in ("accuracy_low", "accuracy_high"))
    return measured.fitted_on_them and low <= measured.figures["accuracy"].value <= high


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise InputError(f"{path} is not a table such as metrics/robustness.csv: needs {', '.join(COLUMNS)}")
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({printable(str(error))})") from None


def _number(path: Path, row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(
            f"{path}: {column} of {printable(row['cell'])} should be 0–1, not '{printable(row[column] or '')}'"
        )
    return value
