"""Crops at native resolution against images squashed to the size of a crop: accuracy on validation and test images.

Nothing is chosen on the images that are scored: the classifiers have no settings to choose, and the network's last
epoch is kept. The table gives accuracy with 95 % Wilson intervals, log loss, and the exact McNemar test of each way to
crop against squash, on the same images.
`python -m benchmarks.native_crops --data PATH [--size 128] [--json FILE]`, PATH laid out as `data.layout: folders`,
with labelled test images.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.table import console
from fakeprint import params
from fakeprint.data.arrays import load_dataset
from fakeprint.evaluation.intervals import mcnemar, wilson
from fakeprint.evaluation.metrics import log_loss
from fakeprint.evaluation.predictions import PREDICTED, Predictions, load_predictions
from stages import augment, features, fit, predict, prepare, train, validate

DEMO = Path(__file__).parents[1] / "presets/demo.yaml"
SETS = ["residual"]
CLASSIFIERS, NETWORK, EPOCHS = ["lda", "svm_rbf"], "three_cnn", 12
WAYS = {  # name: prepare.resize, predict.crops, predict.crop_choice
    "squash": ("squash", 1, "even"),
    "1 crop, the middle": ("native", 1, "even"),
    "1 crop, by detail": ("native", 1, "detail"),
    "2 crops, by detail": ("native", 2, "detail"),
    "4 crops, the whole image": ("native", 4, "even"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data, json_path = arguments.data.resolve(), arguments.json and arguments.json.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        found = measured(data, arguments.size)
    rows = [row for model, of_ways in found.items() for row in figures(model, of_ways)]
    if json_path:
        json_path.write_text(json.dumps(rows, indent=2) + "\n")
    table = Table(title=f"{data.name}: native crops of {arguments.size} pixels, and squash to that size")
    for heading in ("model", "images as", "correct", "accuracy", "95 % interval", "log loss", "p against squash"):
        table.add_column(heading)
    for row in rows:
        low, high = row["interval"]
        p = "" if row["p"] is None else f"{row['p']:.2g}"
        cells = [f"{row['correct']}/{row['images']}", f"{row['accuracy']:.3f}", f"{low:.3f}–{high:.3f}"]
        table.add_row(row["model"], row["way"], *cells, f"{row['log_loss']:.3f}", p)
    console().print(table)


def measured(data: Path, size: int) -> dict[str, dict[str, Predictions]]:
    """Each model's predictions of all validation and test images, by way."""
    found: dict[str, dict[str, Predictions]] = {name: {} for name in (*CLASSIFIERS, NETWORK)}
    for resize in ("squash", "native"):
        write_params(data, size, resize, {})
        for stage in ([validate] if resize == "squash" else []) + [prepare, augment]:
            run(stage)
        for name in SETS:
            run(features, name)
        for name in CLASSIFIERS:
            run(fit, name)
        train.main(NETWORK)
        for way, (of_resize, crops, choice) in WAYS.items():
            if of_resize == resize:
                write_params(data, size, resize, {"crops": crops, "crop_choice": choice})
                for name, of_ways in found.items():
                    run(predict, name)
                    of_ways[way] = joined(name)
    return found


def write_params(data: Path, size: int, resize: str, predict_block: dict[str, Any]) -> None:
    changes = {
        "run": {"features": SETS, "classifiers": CLASSIFIERS, "networks": [NETWORK], "ensembles": []},
        "data": {"path": str(data), "layout": "folders"},
        "prepare": {"image_size": size, "resize": resize},
        "predict": predict_block,
        "augment": {"copies": 0},
        "train": {"epochs": EPOCHS, "keep": "last", "early_stopping": 0},
        "tracking": {"enabled": False},
    }
    content = params.read(DEMO)
    for block, keys in changes.items():
        content[block] |= keys
    for name in CLASSIFIERS:
        content["classifiers"][name] |= {"features": SETS, "augmented": False}
    with Path("params.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(content, file)


def run(stage: Any, *arguments: str) -> None:
    sys.argv = [stage.__name__, *arguments]
    stage.main()


def joined(name: str) -> Predictions:
    """A model's predictions of validation and test."""
    classes = load_dataset().classes
    parts = [load_predictions(name, classes, split, Path("data/predictions")) for split in PREDICTED]
    fields = ("image_ids", "labels", "probabilities", "groups", "generators")
    return Predictions(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


def figures(model: str, of_ways: dict[str, Predictions]) -> Iterator[dict[str, Any]]:
    for way, predictions in of_ways.items():
        correct, squashed = predictions.correct, of_ways["squash"]
        assert np.array_equal(predictions.image_ids, squashed.image_ids)
        yield {
            "model": model,
            "way": way,
            "images": len(correct),
            "correct": int(correct.sum()),
            "accuracy": float(correct.mean()),
            "interval": [round(bound, 4) for bound in wilson(int(correct.sum()), len(correct))],
            "log_loss": log_loss(predictions.labels, predictions.probabilities),
            "p": None if way == "squash" else float(mcnemar(correct, squashed.correct)),
        }


if __name__ == "__main__":
    main()
