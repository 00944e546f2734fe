"""Predictions of every model, ensembles too, on validation images degraded by JPEG, noise, scaling, blur and others.

An ensemble combines its members' probabilities with the cross-fitted combination of its validation predictions
(`fakeprint.models.ensembles.fitting`), so that no image, degraded or not, is predicted by a combination that was
fitted on it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fakeprint.data.arrays import WholeImages
from fakeprint.degraded import Models, Steps, member_probabilities
from fakeprint.evaluation.predictions import load_degraded_members, load_members
from fakeprint.models.ensembles.combinations import Members, members_that_run
from fakeprint.models.ensembles.fitting import cross_fit
from fakeprint.params import Params


@dataclass(frozen=True)
class Combined:
    """An ensemble: names of its members, and the function from their (N, M, C) probabilities to (N, C)."""

    members: list[str]
    combination: Callable[[np.ndarray], np.ndarray]


def load_ensembles(names: Iterable[str], settings: Params, classes: list[str]) -> dict[str, Combined]:
    """The ensembles among `names`, cross-fitted on their members' predictions of the validation images."""
    return {
        name: combined(name, members_that_run(name, settings.ensembles[name], settings.run), settings, classes)
        for name in names
        if name in settings.run.ensembles
    }


def combined(name: str, members: Members, settings: Params, classes: list[str]) -> Combined:
    """Fit one ensemble's cross-fitted combination, by its members' predictions of the validation images."""
    ensemble = settings.ensembles[name]
    validation, probabilities = load_members(members.names, classes, "validation")
    more = load_degraded_members(members.names, classes) if ensemble.degraded else {}
    data = (probabilities, validation.labels, validation.groups, settings.seed, list(more.values()))
    return Combined(members.names, cross_fit(name, ensemble, members.weights, *data))


def predict_degraded(
    models: Models,
    ensembles: Mapping[str, Combined],
    images: np.ndarray | WholeImages,
    grid: Mapping[str, Steps],
    seed: int,
    workers: int | None,
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """As `member_probabilities`, with those of the ensembles."""
    for cell, probabilities in member_probabilities(models, images, grid, seed, workers):
        for name, ensemble in ensembles.items():
            members = np.stack([probabilities[member] for member in ensemble.members], axis=1)
            probabilities[name] = ensemble.combination(members)
        yield cell, probabilities
