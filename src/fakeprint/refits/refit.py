"""What a refit is of, and what it gives; the file of each kind of model is imported when it is needed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fakeprint.params import Params
from fakeprint.verdict.unknown import Outputs


@dataclass(frozen=True)
class Task:
    """A classification task on some of the images.

    classes: names of its K classes. train, validation: int64 (N,), the class index of each image of the split, −1 of
    images that the model must not see. purpose: names the random draws, see `fakeprint.seeds`.
    """

    classes: list[str]
    train: np.ndarray
    validation: np.ndarray
    purpose: str


@dataclass(frozen=True)
class Refit:
    """A model fitted anew.

    validation: its outputs for all validation images, those it must not see included. train, labels: its outputs for
    the train images of the task (no copies) and their classes, int64 (M,); None where features were not requested.
    finished: to be called when what was made of it is on disk; forgets what is kept for a run that is killed.
    """

    validation: Outputs
    train: Outputs | None
    labels: np.ndarray | None
    finished: Callable[[], None]


def refit(settings: Params, name: str, task: Task, features: bool) -> Refit:
    """Fit the classifier or network `name` to a task.

    k-NN chooses k, and training its epoch, on the validation images of the task, as in the pipeline itself; images that
    are not part of the task are seen by neither.

    Args:
        settings: its blocks `classifiers.NAME`, or `models.NAME`, `model` and `train`, and the seed.
        name: of the model.
        task: what to fit it to.
        features: whether penultimate features, or those of a classifier, are wanted.

    Raises:
        InputError: as fitting and training do; a class without validation image.
    """
    if name in settings.classifiers:
        from fakeprint.refits.classifiers import refit_classifier

        return refit_classifier(settings, name, task, features)
    from fakeprint.refits.networks import refit_network

    return refit_network(settings, name, task, features)
