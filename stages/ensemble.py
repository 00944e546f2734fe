"""ensemble NAME: combine its members' predictions, by weights or by a combination fitted on validation."""

import sys
from dataclasses import replace
from pathlib import Path

from fakeprint import params, tracking
from fakeprint.data.arrays import CALIBRATION, load_dataset
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import load_degraded_members, load_members, save_predictions
from fakeprint.files import written_folder
from fakeprint.models.ensembles.combinations import members_that_run, save_ensemble, without_idle
from fakeprint.models.ensembles.fitting import cross_fit, fit


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    ensemble = settings.ensembles[name]
    dataset = load_dataset()
    members = members_that_run(name, ensemble, settings.run)
    if members.left_out:
        print(f"{name}: members that do not run are left out: {', '.join(members.left_out)}")

    with tracking.noted(settings, name, "ensemble"):
        validation, on_validation = load_members(members.names, dataset.classes, "validation")
        more = load_degraded_members(members.names, dataset.classes) if ensemble.degraded else {}
        data = (on_validation, validation.labels, validation.groups, settings.seed, list(more.values()))
        cross_fitted = cross_fit(name, ensemble, members.weights, *data)
        combination = fit(name, ensemble, members.weights, *data)
        predictions = {"validation": replace(validation, probabilities=cross_fitted(on_validation))}
        for split in ("test", CALIBRATION):
            others, probabilities = load_members(members.names, dataset.classes, split)
            predictions[split] = replace(others, probabilities=combination(probabilities))
        names, stored = without_idle(members.names, combination)
        about = {"name": name, "method": ensemble.method, "members": names, "dataset": dataset.as_json()}
        with written_folder(Path("models") / name) as partial:
            save_ensemble(partial, about, stored)
        save_predictions(name, dataset.classes, predictions)


if __name__ == "__main__":
    main()
