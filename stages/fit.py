"""fit NAME: one classical classifier on its feature sets."""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint import params, seeds, tracking
from fakeprint.data.arrays import COPIES_INDEX, load_dataset, load_index
from fakeprint.errors import one_line_errors
from fakeprint.features.files import load_features, load_options
from fakeprint.files import written_folder
from fakeprint.models.classifiers import FittedClassifier, describe, fit, save_classifier
from fakeprint.models.fit_reports import write_reports


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    everything = params.load()
    settings = everything.classifiers[name]
    sets: list[str] = [*settings.features]
    index = load_index("train")
    x, y, groups = load_features(sets, "train"), index["class"].to_numpy(), index["group"].to_numpy()
    if settings.augmented:
        copies = pd.read_parquet(COPIES_INDEX)
        x = x.above(load_features(sets, "augmented"))
        y = np.concatenate([y, copies["class"]])
        groups = np.concatenate([groups, groups[copies["parent_row"]]])
    x_validation, y_validation = load_features(sets, "validation"), load_index("validation")["class"].to_numpy()

    with tracking.noted(everything, name, "classifier"):
        seed = seeds.integer(everything.seed, f"fit/{name}")
        model = fit(settings, x, y, x_validation, y_validation, seed, everything.run.workers, groups)
        fitted = FittedClassifier(model, describe(name, settings, model, load_options(sets), asdict(load_dataset())))
        with written_folder(Path("models") / name) as folder:
            save_classifier(folder, fitted)
            write_reports(folder, fitted, (x, y), (x_validation, y_validation), seed)
    accuracy = float(np.mean(fitted.probabilities(x_validation).argmax(axis=1) == y_validation))
    print(f"{name}: validation accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
