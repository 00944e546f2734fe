"""Results that another machine computed, as folders: written there by `--runner direct`, taken in here.

FOLDER/results/KEY/ holds cell.json, params.yaml, the metrics and data/calibrated/MODEL.parquet. A taken result is a
copy in .fakeprint/studies/taken/KEY. Its key is computed anew, from its parameters and the digests of data and code
that the other machine has seen: the folder's name counts for nothing.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.evaluation.predictions import CALIBRATED, Predictions, read_predictions
from fakeprint.files import read_json, write_json, written_folder
from fakeprint.studies.cells import effective, key_of
from fakeprint.studies.figures import ROBUSTNESS, evaluate_file, history_file, result_of
from fakeprint.studies.results import Cell, CellResult
from fakeprint.studies.store import Store

RESULTS = "results"
ABOUT = "cell.json"
CLOSE = 1e-9  # figures that are computed anew from predictions


def write_result(work: Path, target: Path, about: dict[str, Any], models: Sequence[str]) -> None:
    """Copy a cell's results out of the work folder. about: content of cell.json."""
    with written_folder(target) as partial:
        names = ["params.yaml", ROBUSTNESS, *(evaluate_file(model) for model in models)]
        names += [f"{CALIBRATED}/{model}.parquet" for model in models]
        names += [history_file(model) for model in models if (work / history_file(model)).exists()]
        for name in names:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(work / name, partial / name)
        write_json(partial / ABOUT, about)


def taken_result(folder: Path, cell: Cell, models: Sequence[str]) -> CellResult | None:
    """The result in a folder, None if its metrics are not complete for these models."""

    def read(path: str) -> bytes | None:
        file = folder / path
        return file.read_bytes() if file.is_file() else None

    def predictions(model: str) -> Predictions:
        return read_predictions(folder / CALIBRATED / f"{model}.parquet", "validation")

    if not (folder / ABOUT).exists():
        return None
    return result_of(cell, models, read, predictions, read_json(folder / ABOUT).get("seconds"))


def take(store: Store, folder: Path) -> tuple[list[str], list[str]]:
    """Take in the results in a folder that `study run --runner direct --out FOLDER` has written.

    Returns the keys that are new, and those that were there already.

    Raises:
        InputError: the folder has no results, or one of them is damaged: parameters that are refused, figures that
            are missing, that are not those of its predictions, or a key that is not that of its content.
    """
    found = sorted(file.parent for file in (folder / RESULTS).glob(f"*/{ABOUT}"))
    if not found:
        raise InputError(
            f"{folder}: there are no results; give the folder that `fakeprint study run --runner direct --out` wrote"
        )
    checked = [(_checked(each), each) for each in found]
    new, known = [], []
    for key, each in checked:
        if (store.taken(key) / ABOUT).exists():
            known.append(key)
            continue
        with written_folder(store.taken(key)) as partial:
            shutil.copytree(each, partial, dirs_exist_ok=True)
        new.append(key)
    return new, known


def _checked(folder: Path) -> str:
    """The key of a result, after a look at all that belongs to it. Raises InputError."""
    try:
        about = read_json(folder / ABOUT)
        stated, data, code = (str(about[name]) for name in ("key", "data", "code"))
        models, recorded = list(about["models"]), about["effective"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{folder / ABOUT} is damaged ({error!r}): copy the folder again") from None
    settings = params.load(folder / "params.yaml")
    own = effective(settings, weights=recorded.get("weights"), verdicts=recorded.get("validate", {}).get("verdicts"))
    key = key_of(own, data, code)
    if key != stated:
        raise InputError(f"{folder}: its parameters are not those of the cell {stated}: copy the folder again")
    result = taken_result(folder, Cell("", 0, key), models)
    if result is None or result.predictions is None:
        raise InputError(f"{folder}: figures of {', '.join(models)} are not complete: run the same command there again")
    for model in models:
        if not (folder / CALIBRATED / f"{model}.parquet").is_file():
            raise InputError(f"{folder}: {CALIBRATED}/{model}.parquet is missing: copy the folder again")
        predictions = result.predictions(model)
        if abs(predictions.correct.mean() - result.figures[model]["accuracy"]) > CLOSE:
            raise InputError(f"{folder}: the accuracy of {model} is not that of its predictions: copy the folder again")
    return key
