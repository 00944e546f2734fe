"""Each class in turn is left out of training, so that its images are unknown to the model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fakeprint.data.arrays import load_dataset, load_index
from fakeprint.errors import InputError
from fakeprint.files import written
from fakeprint.params import Params
from fakeprint.refits.refit import Refit, Task, refit
from fakeprint.verdict.open_world import LeftOut, save_left_out
from fakeprint.verdict.unknown import Outputs, scores_of

LEAST = 3  # classes: without one of them, two are left to tell apart


def task_without(number: int, train: np.ndarray, validation: np.ndarray, classes: list[str], purpose: str) -> Task:
    """The task of telling all classes but one apart. train, validation: int (N,), class indices of the whole task."""
    place = np.arange(len(classes))
    place[number], place[number + 1 :] = -1, place[number + 1 :] - 1
    of_known = [name for index, name in enumerate(classes) if index != number]
    return Task(of_known, place[train], place[validation], f"{purpose}/{number}")


def leave_one_out(settings: Params, name: str, folder: Path) -> tuple[list[LeftOut], list[Callable[[], None]]]:
    """Fit a model once without each class, and score all validation images.

    For each class a file of scores and logits is written into `folder`, `<number>.parquet`, and the penultimate
    features of networks beside it, `<number>_features.npy`, float32 (N, D).

    Returns:
        A result per class, and what is to be called when they are on disk, see `Refit.finished`.

    Raises:
        InputError: fewer than three classes, a class without validation image, or what `refit` raises.
    """
    classes = load_dataset().classes
    validation = load_index("validation")
    train, labels = load_index("train")["class"].to_numpy(), validation["class"].to_numpy()
    _require_enough(classes, labels)
    results, finished = [], []
    for number, left_out in enumerate(classes):
        print(f"{name}: without class {left_out}", flush=True)
        task = task_without(number, train, labels, classes, f"open_world/{name}")
        fitted = refit(settings, name, task, features=True)
        result = _scored(fitted, number, len(classes), settings.open_world.neighbours)
        ids, groups = validation["image_id"].to_numpy(dtype=object), validation["group"].to_numpy()
        save_left_out(result, ids, labels, groups, classes, folder / f"{number}.parquet")
        if fitted.validation.has_logits:  # features of classifiers are in data/features
            _save_features(fitted.validation, folder / f"{number}_features.npy")
        results.append(result)
        finished.append(fitted.finished)
    return results, finished


def _require_enough(classes: list[str], labels: np.ndarray) -> None:
    if len(classes) < LEAST:
        raise InputError(
            f"open_world needs at least {LEAST} classes, and the source has {len(classes)} ({', '.join(classes)}); "
            "set open_world.classifiers and open_world.networks to []"
        )
    empty = sorted(set(range(len(classes))) - set(labels.tolist()))
    if empty:
        raise InputError(f"open_world: validation has no image of class {classes[empty[0]]}; add some")


def _scored(fitted: Refit, number: int, classes: int, k: int) -> LeftOut:
    assert fitted.train is not None and fitted.labels is not None
    known = [index for index in range(classes) if index != number]
    scores = scores_of(fitted.train, fitted.labels, fitted.validation, k)
    return LeftOut(number, known, fitted.validation.logits, scores)


def _save_features(outputs: Outputs, path: Path) -> None:
    from fakeprint.blocks import Rows, write_rows

    rows = Rows.of(outputs.features)  # type: ignore[arg-type]
    with written(path) as partial:
        write_rows(partial, rows.shape, (block for _, block in rows.blocks()))
