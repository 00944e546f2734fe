"""Two models on the same validation images: is one of them right more often, on clean and on degraded images?

Each row is one condition: the accuracies, on how many images only the first and only the second model is right, the
p-value of McNemar's exact test (the sign-flip test where images come in groups), and the same after Holm's correction
for all rows. A last row compares the mean of both models' probabilities with the first model on clean images; it is
not among the rows that are corrected.

Models are named as FOLDER:NAME, where FOLDER is a checkout with the results of a pipeline, or one result of a study,
and NAME is a model of it; FOLDER alone means its trace_net. Conditions are those that both have scored; degraded images
are scored where `robustness.models` keeps their predictions.

`python -m benchmarks.paired FIRST SECOND [--json FILE]`
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fakeprint.errors import InputError, one_line_errors
from fakeprint.evaluation.intervals import holm, paired_tests
from fakeprint.evaluation.predictions import CALIBRATED, Predictions, read_predictions

CLEAN = "clean"
DEFAULT = "trace_net"


@dataclass(frozen=True)
class Compared:
    """One condition. Accuracies are shares of the images; only_first and only_second count images.

    corrected: the p-value after Holm's correction, None where a row is not among those that are corrected.
    """

    condition: str
    images: int
    first: float
    second: float
    only_first: int
    only_second: int
    p: float
    corrected: float | None


def conditions_of(model: str) -> dict[str, Predictions]:
    """The labelled validation images of FOLDER:NAME, clean first, then each degradation by its name."""
    folder, _, name = model.rpartition(":")
    root, file = Path(folder or name) / CALIBRATED, f"{name if folder else DEFAULT}.parquet"
    if not (root / file).exists():
        raise InputError(f"{root / file} is missing: name a folder with results, or FOLDER:MODEL")
    files = {CLEAN: root / file} | {path.parent.name: path for path in sorted(root.glob(f"degraded/*/{file}"))}
    return {condition: read_predictions(path, "validation").labelled for condition, path in files.items()}


def compare(first: dict[str, Predictions], second: dict[str, Predictions]) -> list[Compared]:
    """One row per condition of both, then that of the mean of both on clean images.

    Raises:
        InputError: the images, their labels or the number of classes differ.
    """
    shared = [condition for condition in first if condition in second]
    rows = [_row(condition, first[condition], second[condition]) for condition in shared]
    adjusted = holm(np.array([row.p for row in rows]))
    rows = [Compared(**asdict(row) | {"corrected": float(p)}) for row, p in zip(rows, adjusted, strict=True)]
    one, other = first[CLEAN], second[CLEAN]
    mean = Predictions(**vars(one) | {"probabilities": (one.probabilities + other.probabilities) / 2})
    return [*rows, _row("clean, mean of both", one, mean)]


def _row(condition: str, first: Predictions, second: Predictions) -> Compared:
    shapes = first.probabilities.shape, second.probabilities.shape
    same = np.array_equal(first.image_ids, second.image_ids) and np.array_equal(first.labels, second.labels)
    if not same or shapes[0] != shapes[1]:
        raise InputError(f"{condition}: the two models were scored on different images, labels or classes")
    only = int(np.sum(first.correct & ~second.correct)), int(np.sum(second.correct & ~first.correct))
    p = float(paired_tests(np.stack([first.correct, second.correct]), first.groups)[0, 1])
    accuracies = float(first.correct.mean()), float(second.correct.mean())
    return Compared(condition, len(first.labels), *accuracies, *only, p, None)


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="FIRST", help="FOLDER or FOLDER:MODEL")
    parser.add_argument("second", metavar="SECOND", help="FOLDER or FOLDER:MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    options = parser.parse_args()
    rows = compare(conditions_of(options.first), conditions_of(options.second))
    title = f"first: {options.first}\nsecond: {options.second}\naccuracy in % of {rows[0].images:,} images"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("condition", no_wrap=True)
    for heading in ("first", "second", "only first", "only second", "p", "p (Holm)"):
        table.add_column(heading, justify="right")
    for row in rows:
        corrected = "" if row.corrected is None else f"{row.corrected:.3g}"
        shares = [f"{100 * share:.1f}" for share in (row.first, row.second)]
        counts = [str(row.only_first), str(row.only_second)]
        table.add_row(row.condition, *shares, *counts, f"{row.p:.3g}", corrected)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
