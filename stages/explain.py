"""explain NAME: a page with the grounds of a model's answers on validation, and a table of suspected labels."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint import params
from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.digests import EVALUATED, explained_name, md5
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.champion import CHAMPION, MODELS, champion_name
from fakeprint.evaluation.predictions import CALIBRATED, load_predictions
from fakeprint.explain.explanation import (
    PAGE,
    SUSPECTS,
    Explained,
    Settings,
    certificate_of,
    decided,
    probabilities_are,
    write,
)
from fakeprint.explain.grounds import Train
from fakeprint.explain.opened import open_model
from fakeprint.explain.suspects import suspects, suspects_of_train
from fakeprint.files import write_csv, write_json, written_folder
from fakeprint.verdict.decision import load_decision


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings, dataset = params.load(), load_dataset()
    model = open_model(MODELS / name)
    validation, train = load_split("validation"), load_split("train")
    predictions = load_predictions(name, dataset.classes, "validation", CALIBRATED)
    found = suspects(
        "validation", predictions.image_ids, predictions.labels, predictions.probabilities, dataset.classes
    )
    explained = Explained(
        predictions.image_ids,
        predictions.labels,
        predictions.probabilities,
        probabilities_are(name),
        lambda rows: np.stack([np.array(validation.images[row]) for row in rows]),
        *_decided(name, predictions.probabilities),
    )
    fitted = model.classifier[1].fitted if model.classifier else None
    of_train = suspects_of_train(name, fitted, settings, dataset.classes)
    limits = Settings(settings.title, settings.explain.images, settings.explain.neighbours, settings.run.workers)
    folder = Path("reports/explain") / name
    with written_folder(folder) as partial:
        write(model, explained, found, Train(train.of_one_size, train.image_ids, train.labels), limits, partial / PAGE)
        write_csv(partial / SUSPECTS, pd.concat([found, of_train]))
    files = {(folder / file).as_posix(): md5(folder / file) for file in (PAGE, SUSPECTS)}
    write_json(EVALUATED / explained_name(name), {"files": files})
    print(f"{name}: {folder / PAGE}, {len(found)} suspected label(s) of validation")


def _decided(name: str, probabilities: np.ndarray) -> tuple[np.ndarray | None, str | None]:
    """The champion's answers and its certificate; None for other models, which have no decision."""
    if champion_name() != name:
        return None, None
    decision = load_decision(MODELS / CHAMPION)
    return decided(decision, probabilities), certificate_of(decision)


if __name__ == "__main__":
    main()
