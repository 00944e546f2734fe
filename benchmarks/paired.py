"""Two models on the same validation images: is one of them right more often, on clean and on degraded images?

Each row is one condition: the accuracies, on how many images only the first and only the second model is right, the
p-value of McNemar's exact test (the sign-flip test where images come in groups), and the same after Holm's correction
for all conditions. Conditions are those that both have scored; degraded images are scored where `robustness.models`
keeps their predictions. Conditions of one name must be the same degradation in both: where both folders have a
params.yaml, their `robustness.grid` and `seed` are compared. Below the table stands how often the mean of both models'
probabilities is right.

The p-values are valid for two models that were fixed before they predicted these images. They compare two fitted
models; another seed of the same recipe may differ as much.

Models are named as FOLDER:NAME, where FOLDER is a checkout with the results of a pipeline, or one result of a study,
and NAME is a model of it; FOLDER alone means its trace_net.

`python -m benchmarks.paired FIRST SECOND [--json FILE]`
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from benchmarks.table import console
from fakeprint import params
from fakeprint.errors import InputError, one_line_errors
from fakeprint.evaluation.intervals import holm, paired_tests
from fakeprint.evaluation.predictions import CALIBRATED, Predictions, read_predictions

CLEAN = "clean"
DEFAULT = "trace_net"


@dataclass(frozen=True)
class Compared:
    """One condition. Accuracies are shares of the images; only_first and only_second count images.

    corrected: the p-value after Holm's correction for all conditions.
    """

    condition: str
    images: int
    first: float
    second: float
    only_first: int
    only_second: int
    p: float
    corrected: float


def located(model: str) -> tuple[Path, str]:
    """The folder and the model's name in FOLDER:NAME."""
    folder = Path(model)
    if (folder / CALIBRATED).is_dir() or ":" not in model:
        return folder, DEFAULT
    before, _, name = model.rpartition(":")
    return Path(before), name


def conditions_of(model: str) -> dict[str, Predictions]:
    """The labelled validation images of FOLDER:NAME, clean first, then each degradation by its name.

    Raises:
        InputError: there is no such file, or it holds no labelled validation images.
    """
    folder, name = located(model)
    root = folder / CALIBRATED
    if not (root / f"{name}.parquet").exists():
        raise InputError(f"{root / name}.parquet is missing: name a folder with results, or FOLDER:MODEL")
    files = {CLEAN: root / f"{name}.parquet"}
    files |= {path.parent.name: path for path in sorted(root.glob(f"degraded/*/{name}.parquet"))}
    found = {condition: read_predictions(path, "validation").labelled for condition, path in files.items()}
    if not len(found[CLEAN].labels):
        raise InputError(f"{files[CLEAN]} holds no labelled validation images")
    return found


def compare(first: dict[str, Predictions], second: dict[str, Predictions]) -> list[Compared]:
    """One row per condition that both have.

    Raises:
        InputError: their images, labels, groups or numbers of classes differ.
    """
    shared = [condition for condition in first if condition in second]
    for condition in shared:
        _require_same(condition, first[condition], second[condition])
    correct = {condition: np.stack([first[condition].correct, second[condition].correct]) for condition in shared}
    p_values = np.array([paired_tests(correct[each], first[each].groups)[0, 1] for each in shared])
    return [
        Compared(
            condition,
            len(one),
            float(one.mean()),
            float(other.mean()),
            int(np.sum(one & ~other)),
            int(np.sum(other & ~one)),
            float(p),
            float(corrected),
        )
        for (condition, (one, other)), p, corrected in zip(correct.items(), p_values, holm(p_values), strict=True)
    ]


def _require_same(condition: str, first: Predictions, second: Predictions) -> None:
    columns = ("image_ids", "labels", "groups")
    same = all(np.array_equal(getattr(first, each), getattr(second, each)) for each in columns)
    if not same or first.probabilities.shape != second.probabilities.shape:
        raise InputError(f"{condition}: the two models were scored on different images, labels, groups or classes")


def require_same_degradations(first: Path, second: Path, conditions: Iterable[str]) -> None:
    """Compare how two folders degrade images, by their params.yaml; nothing where one of them has none.

    Raises:
        InputError: the steps of a condition differ, or the seeds of its noise.
    """
    files = [folder / "params.yaml" for folder in (first, second)]
    if not all(file.exists() for file in files):
        return
    one, other = (params.read(file) for file in files)
    for condition in conditions:
        if condition == CLEAN:
            continue
        grids = [(each.get("robustness") or {}).get("grid") or {} for each in (one, other)]
        steps = [grid.get(condition) or {} for grid in grids]
        seeds = [each.get("seed") for each in (one, other)]
        ordered = [list(each.items()) for each in steps]  # steps are applied in their order
        if ordered[0] != ordered[1] or ("noise" in steps[0] and seeds[0] != seeds[1]):
            raise InputError(
                f"{condition}: the two folders degrade images differently: {steps[0]}, seed {seeds[0]}, and "
                f"{steps[1]}, seed {seeds[1]}"
            )


def accuracy_of_mean(first: Predictions, second: Predictions) -> float:
    """The accuracy of the mean of both models' probabilities."""
    return float(np.mean((first.probabilities + second.probabilities).argmax(axis=1) == first.labels))


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="FIRST", help="FOLDER or FOLDER:MODEL")
    parser.add_argument("second", metavar="SECOND", help="FOLDER or FOLDER:MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the models and the rows to FILE")
    options = parser.parse_args()
    first, second = conditions_of(options.first), conditions_of(options.second)
    rows = compare(first, second)
    shared = (row.condition for row in rows)
    require_same_degradations(located(options.first)[0], located(options.second)[0], shared)
    title = f"first: {options.first}\nsecond: {options.second}\naccuracy in % of {rows[0].images:,} images"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("condition", no_wrap=True)
    for heading in ("first", "second", "only first", "only second", "p", "p (Holm)"):
        table.add_column(heading, justify="right")
    for row in rows:
        shares = [f"{100 * share:.1f}" for share in (row.first, row.second)]
        counts = [str(row.only_first), str(row.only_second)]
        table.add_row(row.condition, *shares, *counts, f"{row.p:.3g}", f"{row.corrected:.3g}")
    output = console()
    output.print(table)
    mean = accuracy_of_mean(first[CLEAN], second[CLEAN])
    output.print(f"mean of both on clean images: {100 * mean:.1f} %")
    left_out = sorted(first.keys() ^ second.keys())
    if left_out:
        output.print(f"left out, as only one was scored on it: {', '.join(left_out)}")
    if options.json:
        content = {"first": options.first, "second": options.second, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(content | {"accuracy_of_mean": mean}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
