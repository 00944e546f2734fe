"""ensemble NAME: its members' predictions become one; the members are kept by name and weight."""

import sys
from dataclasses import asdict
from pathlib import Path

from fakeprint import params, tracking
from fakeprint.data.arrays import load_dataset
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import MEMBERS, PREDICTIONS, Predictions, load_predictions, save_predictions
from fakeprint.files import write_json, written_folder
from fakeprint.models.ensembles import combine, members_that_run


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
    about = {"method": ensemble.method, "members": members.names, "weights": members.weights}

    with tracking.model_run(settings, name, "ensemble", about, files) as run:
        splits = {}
        for split in ("validation", "test"):
            said = [load_predictions(file, dataset.classes, split) for file in files]
            combined = combine([member.probabilities for member in said], members.weights)
            splits[split] = Predictions(said[0].image_ids, said[0].labels, combined)
        with written_folder(model_folder) as partial:
            write_json(partial / "model.json", {"kind": "ensemble", "name": name, **about, "dataset": asdict(dataset)})
        save_predictions(PREDICTIONS / f"{name}.parquet", dataset.classes, splits)
        run.finish(model_folder)


if __name__ == "__main__":
    main()
