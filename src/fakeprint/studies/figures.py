"""From a finished cell's files to its figures, wherever the files are: in a DVC experiment or in a folder."""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from fakeprint.evaluation.predictions import Predictions
from fakeprint.studies.results import Cell, CellResult

ROBUSTNESS = "metrics/robustness.json"
PER_CLASS = ("recall", "precision", "f1")  # blocks of evaluate.json that have a figure per class, in their order
NOT_DEGRADED = ("clean", "worst")  # in it: the images as they are, and again the worst of the others
Read = Callable[[str], bytes | None]  # the content of a file by its path in the repository; None if it is not there


def evaluate_file(model: str) -> str:
    """The file with a model's figures."""
    return f"metrics/{model}/evaluate.json"


def history_file(network: str) -> str:
    """The file with a network's figures by epoch."""
    return f"metrics/{network}/history.csv"


def files_of(models: Sequence[str]) -> list[str]:
    """The files that `result_of` reads."""
    return [ROBUSTNESS, *(file(model) for model in models for file in (evaluate_file, history_file))]


def result_of(
    cell: Cell,
    models: Sequence[str],
    read: Read,
    predictions: Callable[[str], Predictions] | None,
    seconds: float | None,
) -> CellResult | None:
    """The cell's result if its metrics are complete: figures of every model, and those on degraded images; else None.

    The latter need not be of every model: `robustness.models` may name some only.

    Args:
        cell: which cell the files are of.
        models: of the study.
        read: reads one of the files.
        predictions: reads the calibrated validation predictions of a model.
        seconds: wall time of the cell.
    """
    evaluated = {model: _json(read(evaluate_file(model))) for model in models}
    robustness = _json(read(ROBUSTNESS))
    degraded = (robustness or {}).get("models", {})
    if any(content is None or "accuracy" not in content for content in evaluated.values()):
        return None
    if not degraded:
        return None
    known = {model: content for model, content in evaluated.items() if content is not None}
    histories = {model: read(history_file(model)) for model in models}
    return CellResult(
        cell,
        figures={model: numbers(content) for model, content in known.items()},
        on_test={model: numbers(content["test"]) for model, content in known.items() if "test" in content},
        degraded={
            model: {name: of["accuracy"] for name, of in degraded[model].items() if name not in NOT_DEGRADED}
            for model in models
            if model in degraded
        },
        curves={model: pd.read_csv(io.BytesIO(rows)) for model, rows in histories.items() if rows},
        seconds=seconds,
        predictions=predictions,
    )


def numbers(content: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The figures of evaluate.json, without intervals and those of test.

    Those of inner blocks are named as `detection.auc`; those of a class by its name and its number, `recall.#4`.
    """
    found: dict[str, float] = {}
    for name, value in content.items():
        if name in ("intervals", "test"):
            continue
        if isinstance(value, dict):
            if name in PER_CLASS and not prefix:
                value = {f"#{number}": each for number, each in enumerate(value.values())} | value
            found |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{prefix}{name}"] = float(value)
    return found


def _json(content: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(content) if content else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
