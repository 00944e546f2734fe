"""ensemble NAME: its members' predictions become one, by weights or by what is fitted on validation."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fakeprint import params, tracking
from fakeprint.data.arrays import load_dataset
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import MEMBERS, PREDICTED, load_predictions, save_predictions
from fakeprint.files import written_folder
from fakeprint.models.ensemble_fits import cross_fit, fit
from fakeprint.models.ensembles import members_that_run, save_ensemble, without_idle


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    ensemble = settings.ensembles[name]
    dataset = load_dataset()
    members = members_that_run(name, ensemble, settings.run)
    if members.left_out:
        print(f"{name}: without {', '.join(members.left_out)}, which do not run")
    files = [MEMBERS / f"{member}.parquet" for member in members.names]
    model_folder = Path("models") / name
    described = {**ensemble.model_dump(), "members": members.names}

    with tracking.model_run(settings, name, "ensemble", described, files) as run:
        loaded = {
            split: [load_predictions(member, dataset.classes, split, MEMBERS) for member in members.names]
            for split in PREDICTED
        }
        of_members = {
            split: np.stack([each.probabilities for each in every], axis=1) for split, every in loaded.items()
        }
        validation, test = loaded["validation"][0], loaded["test"][0]
        on_validation = (
            *(name, ensemble, members.weights),
            *(of_members["validation"], validation.labels, validation.groups, settings.seed),
        )
        cross_fitted, combination = cross_fit(*on_validation), fit(*on_validation)
        predictions = {
            "validation": replace(validation, probabilities=cross_fitted(of_members["validation"])),
            "test": replace(test, probabilities=combination(of_members["test"])),
        }
        kept, stored = without_idle(members.names, combination)
        about = {"name": name, "method": ensemble.method, "members": kept, "dataset": asdict(dataset)}
        with written_folder(model_folder) as partial:
            save_ensemble(partial, about, stored)
        save_predictions(name, dataset.classes, predictions)
        run.finish(model_folder)


if __name__ == "__main__":
    main()
