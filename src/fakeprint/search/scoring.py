"""The score of one set of values: accuracy on folds of the train images, of models trained on the other folds."""

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fakeprint import seeds, tracking
from fakeprint.blocks import Rows
from fakeprint.data.arrays import COPIES, WholeImages, load_dataset, load_index, load_split
from fakeprint.data.crops import RandomCrops, averaged, crop_rows
from fakeprint.files import main_root
from fakeprint.params import Params
from fakeprint.search.feature_sets import FeatureSets, Wanted
from fakeprint.search.space import Plan

if TYPE_CHECKING:
    import optuna


KEPT = FeatureSets()  # of this process's search

LogEpoch = Callable[[dict[str, float], int], None]


def scores_of(
    plan: Plan, settings: Params, trial: "optuna.Trial", numbers: np.ndarray, run: tracking.TrackedRun
) -> list[float]:
    """Accuracy on each fold, of a model trained on the other folds. Raises optuna.TrialPruned."""
    from optuna import TrialPruned

    scores: list[float] = []
    name = plan.search.model
    epochs = epochs_of(plan, settings)
    for place, fold in enumerate(plan.search.folds):
        train, held_out = np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)
        reached = 0.0

        def log_epoch(figures: dict[str, float], epoch: int, place: int = place) -> None:
            nonlocal reached
            run.log_epoch(figures, place * epochs + epoch)
            if "validation_accuracy" not in figures:
                return
            reached = max(reached, figures["validation_accuracy"])
            trial.report(float(np.mean([*scores, reached])), place * epochs + epoch)
            if trial.should_prune():
                raise TrialPruned

        if plan.kind == "network":
            scores.append(_network_accuracy(settings, name, train, held_out, log_epoch))
        else:
            scores.append(_classifier_accuracy(settings, name, train, held_out))
            if len(plan.search.folds) > 1:
                log_epoch({"validation_accuracy": scores.pop()}, 1)
                scores.append(reached)
    return scores


def epochs_of(plan: Plan, settings: Params) -> int:
    """Epochs of the training on one fold, at most; 1 for a classifier."""
    if plan.kind == "classifier":
        return 1
    return sum(phase.epochs for phase in settings.network(plan.search.model).train.in_phases())


def _network_accuracy(
    settings: Params, name: str, train: np.ndarray, held_out: np.ndarray, log_epoch: LogEpoch
) -> float:
    """Accuracy on the held-out rows of the weights that training keeps: of the epoch that `train.keep` names.

    With `train.swa` and `train.clean_norm`, which change the weights after that, the changed ones count. An interrupted
    training continues from its last checkpoint.
    """
    from fakeprint.training import device, loop
    from fakeprint.training.images import ChosenRows, Images, Part
    from fakeprint.training.inputs import TrainingData, held_out_images
    from fakeprint.training.start import start
    from fakeprint.training.steps import validate

    network = settings.network(name)
    execution = device.choose(network.train.device, network.train.precision)
    split, prepare = load_split("train"), settings.prepare
    labels = [split.labels[train]]
    if isinstance(split.images, WholeImages):
        whole, size = split.images, prepare.image_size
        parts: list[Part] = [RandomCrops(whole[train], size)]
        validation = held_out_images(whole[held_out], split.labels[held_out], size, prepare.train_crops)
    else:
        parts = [ChosenRows(split.images, train)]
        validation = Images([ChosenRows(split.images, held_out)], split.labels[held_out])
    if network.train.augmented:
        copies, parents = _copies(train)
        parts.append(ChosenRows(np.load(COPIES, mmap_mode="r"), copies))
        labels.append(split.labels[parents])
    images = Images(parts, np.concatenate(labels))
    data = TrainingData(images, validation, load_dataset())
    run, checkpoint = start(network, data, settings.training_seed(network.name), execution, main_root())
    try:
        loop.train(run, data, checkpoint, log_epoch)
    except Exception:
        checkpoint.remove()
        raise
    checkpoint.remove()
    if run.epoch_mean.count or run.phase.clean_norm:  # no epoch was validated with the kept weights
        with ThreadPoolExecutor(loop.batch_threads(execution)) as pool:
            return validate(run.network, validation, execution, pool)[1]
    return run.history.rows[run.history.kept_epoch - 1]["validation_accuracy"]


def _classifier_accuracy(settings: Params, name: str, train: np.ndarray, held_out: np.ndarray) -> float:
    """Accuracy on the held-out rows of a classifier fitted on the others."""
    from fakeprint.models.classifiers.files import FittedClassifier, describe
    from fakeprint.models.classifiers.fitting import fit

    block = settings.classifiers[name]
    blocks = settings.features.model_dump()
    index = load_index("train")
    known, group_of = index["class"].to_numpy(), index["group"].to_numpy()
    crops = (settings.prepare.image_size, settings.prepare.train_crops)
    rows = crop_rows(index, *crops)  # the image of each row of features
    fitted_rows, held_out_rows = (np.flatnonzero(np.isin(rows, images)) for images in (train, held_out))

    wanted = {
        part: [Wanted(each, json.dumps(blocks[each]), part, crops) for each in block.features]
        for part in ["train", *["augmented"] * block.augmented]
    }
    KEPT.make_room(itertools.chain(*wanted.values()))

    def numbers(part: str) -> Rows:
        return Rows((tuple(KEPT.of(each, settings.run.workers) for each in wanted[part]),))

    x, y, groups = numbers("train"), known[rows[fitted_rows]], group_of[rows[fitted_rows]]
    x_held_out, y_held_out = x.at(held_out_rows), known[rows[held_out_rows]]
    if block.augmented:
        copies, of = _copies(train)
        x = x.above(numbers("augmented")).at(np.concatenate([fitted_rows, len(rows) + copies]))
        y, groups = np.concatenate([y, known[of]]), np.concatenate([groups, group_of[of]])
    else:
        x = x.at(fitted_rows)
    seed = seeds.integer(settings.seed, f"fit/{name}")
    dataset = load_dataset()
    model = fit(block, x, y, x_held_out, y_held_out, seed, settings.run.workers, groups, dataset.classes)
    fitted = FittedClassifier(model, describe(name, block, model, {}, dataset.as_json()))
    counts = np.bincount(rows)[held_out]
    return float(np.mean(averaged(fitted.probabilities(x_held_out), counts).argmax(axis=1) == known[held_out]))


def _copies(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the offline copies of these train rows, and the train row that each was made from."""
    parents = pd.read_parquet(COPIES.with_suffix(".parquet"))["parent_row"].to_numpy()
    rows = np.flatnonzero(np.isin(parents, train))
    return rows, parents[rows]
