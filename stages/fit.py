"""fit NAME: one classical classifier on its feature sets."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint import params, seeds, tracking
from fakeprint.data.arrays import COPIES_INDEX, load_dataset, load_index
from fakeprint.data.crops import averaged, crop_rows
from fakeprint.errors import one_line_errors
from fakeprint.features.files import load_features, load_options
from fakeprint.files import written_folder
from fakeprint.models.classifiers.files import FittedClassifier, describe, save_classifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.models.fit_reports import write_reports


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    everything = params.load()
    settings = everything.classifiers[name]
    sets: list[str] = [*settings.features]
    index, on_validation = load_index("train"), load_index("validation")
    size, crops = everything.prepare.image_size, everything.prepare.train_crops
    labels, group_of, rows = index["class"].to_numpy(), index["group"].to_numpy(), crop_rows(index, size, crops)
    x, y, groups = load_features(sets, "train"), labels[rows], group_of[rows]
    if settings.augmented:
        copies = pd.read_parquet(COPIES_INDEX)
        x = x.above(load_features(sets, "augmented"))
        y = np.concatenate([y, copies["class"]])
        groups = np.concatenate([groups, group_of[copies["parent_row"]]])
    rows = crop_rows(on_validation, size, crops)
    x_validation, y_validation = load_features(sets, "validation"), on_validation["class"].to_numpy()[rows]

    with tracking.noted(everything, name, "classifier"):
        seed = seeds.integer(everything.seed, f"fit/{name}")
        dataset = load_dataset()
        rows_of = (x, y, x_validation, y_validation)
        model = fit(settings, *rows_of, seed, everything.run.workers, groups, dataset.classes)
        fitted = FittedClassifier(model, describe(name, settings, model, load_options(sets), dataset.as_json()))
        with written_folder(Path("models") / name) as folder:
            save_classifier(folder, fitted)
            write_reports(folder, fitted, (x, y), (x_validation, y_validation), seed)
    predicted = averaged(fitted.probabilities(x_validation), np.bincount(rows)).argmax(axis=1)
    accuracy = float(np.mean(predicted == on_validation["class"]))
    print(f"{name}: validation accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
