"""What each model can certify on validation: images answered at three error rates, and its sets, by calibration.

`python -m benchmarks.decisions [--json FILE]`, where `dvc repro` has run: it reads `data/predictions`.
"""

import json
from typing import Any

from rich.table import Table

from benchmarks.table import console, json_option
from fakeprint import params
from fakeprint.data.arrays import load_dataset
from fakeprint.evaluation.predictions import PREDICTIONS, Predictions, load_predictions
from fakeprint.verdict import calibration, conformal
from fakeprint.verdict.certificate import certify
from fakeprint.verdict.conformal import set_figures
from fakeprint.verdict.selective import area

METHODS = ("none", "temperature", "bias")
MAX_ERRORS, SET_ERRORS, CONFIDENCE = (0.01, 0.02, 0.05), (0.1, 0.02), 0.95


def measure(predictions: Predictions, method: str, seed: int) -> dict[str, Any]:
    """Figures of one model with one calibration, all of them cross-fitted on validation."""
    settings, known = params.Calibrate.model_validate({"method": method}), predictions
    data = (known.probabilities, known.labels, known.groups)
    probabilities = calibration.cross_fit(settings, *data, seed)(known.probabilities)
    scores, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == known.labels
    found: dict[str, Any] = {"accuracy": float(correct.mean()), "aurc": area(scores, correct)}
    for error in MAX_ERRORS:
        certificate = certify(scores, correct, known.groups, error, CONFIDENCE, seed)
        answered = 0 if certificate.threshold is None else certificate.answered
        found[f"answered at {error:.0%}"] = answered / certificate.images
    for error in SET_ERRORS:
        sets = conformal.cross_fitted(probabilities, known.labels, known.groups, error, seed)
        figures = set_figures(sets, known.labels, known.groups, CONFIDENCE)
        found[f"coverage of {1 - error:.0%} sets"] = figures.coverage.share
        found[f"size of {1 - error:.0%} sets"] = figures.size
        found[f"empty {1 - error:.0%} sets"] = figures.empty.share
    return found


def main() -> None:
    """Measure and print."""
    destination = json_option(__doc__)
    seed, classes = params.load().seed, load_dataset().classes
    rows = []
    for file in sorted(PREDICTIONS.glob("*.parquet")):
        known = load_predictions(file.stem, classes, "validation")
        rows += [{"model": file.stem, "calibration": method, **measure(known, method, seed)} for method in METHODS]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(each if isinstance(each, str) else f"{each:.4f}" for each in row.values()))
    console().print(table)
    if destination:
        destination.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
