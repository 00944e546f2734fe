"""What training writes: the history and the network."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from fakeprint.data.arrays import Dataset
from fakeprint.files import written, written_folder
from fakeprint.models.network_files import save_network
from fakeprint.training.history import COLUMNS
from fakeprint.training.run import Run


def write_outputs(run: Run, dataset: Dataset) -> Path:
    """Write metrics/NAME/history.csv and the folder models/NAME. Returns the folder."""
    name = run.recipe.name
    with written(Path("metrics") / name / "history.csv") as partial:
        table = pd.DataFrame(run.history.rows, columns=list(COLUMNS)).astype({"epoch": int})
        # Of an epoch that was not validated. DVC's plots leave "nan" out, and take an empty cell for 0.
        table.to_csv(partial, index=False, na_rep="nan")
    description = {
        "name": name,
        "dataset": dataset.as_json(),
        "design": asdict(run.recipe.design),
        "options": run.recipe.options,
        "best_epoch": run.history.kept_epoch,
    }
    with written_folder(Path("models") / name) as folder:
        save_network(folder, run.network, description)
    return Path("models") / name
