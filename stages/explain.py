"""explain NAME: a page with the grounds of a model's answers on validation, and a table of suspected labels."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint import params, seeds
from fakeprint.data.arrays import load_dataset, load_index, load_split
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
from fakeprint.explain.opened import OpenModel, open_model
from fakeprint.explain.suspects import out_of_fold, suspects
from fakeprint.features.files import load_features
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
    limits = Settings(settings.title, settings.explain.images, settings.explain.neighbours, settings.run.workers)
    folder = Path("reports/explain") / name
    with written_folder(folder) as partial:
        write(model, explained, found, Train(train.of_one_size, train.image_ids, train.labels), limits, partial / PAGE)
        write_csv(partial / SUSPECTS, pd.concat([found, _of_train(model, settings, dataset.classes)]))
    files = {(folder / file).as_posix(): md5(folder / file) for file in (PAGE, SUSPECTS)}
    write_json(EVALUATED / explained_name(name), {"files": files})
    print(f"{name}: {folder / PAGE}, {len(found)} suspected label(s) of validation")


def _decided(name: str, probabilities: np.ndarray) -> tuple[np.ndarray | None, str | None]:
    """The champion's answers and its certificate; None for other models, which have no decision."""
    if champion_name() != name:
        return None, None
    decision = load_decision(MODELS / CHAMPION)
    return decided(decision, probabilities), certificate_of(decision)


def _of_train(model: OpenModel, settings: params.Params, classes: list[str]) -> pd.DataFrame:
    """Suspected labels of train images, where the block asks for them and the model is a classifier."""
    block = settings.classifiers.get(model.name)
    if not settings.explain.folds or block is None or model.classifier is None:
        return pd.DataFrame()
    index, fitted = load_index("train"), model.classifier[1].fitted
    labels, groups = index["class"].to_numpy(), index["group"].to_numpy()
    seed = seeds.integer(settings.seed, f"explain/{model.name}")
    features = load_features(list(block.features), "train")
    probabilities = out_of_fold(
        fitted, block, features, labels, groups, settings.explain.folds, seed, settings.run.workers
    )
    return suspects("train", index["image_id"].to_numpy(dtype=object), labels, probabilities, classes)


if __name__ == "__main__":
    main()
