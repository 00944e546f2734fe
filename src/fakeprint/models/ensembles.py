"""Ensembles: several models' probabilities become one. An ensemble is stored as model.json, its members by name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fakeprint.errors import InputError, first_few
from fakeprint.params import Ensemble, Run


@dataclass(frozen=True)
class Members:
    """Names of the members with their weights, which sum to 1; left_out: members named in params that do not run."""

    names: list[str]
    weights: list[float]
    left_out: list[str]


def members_that_run(name: str, settings: Ensemble, run: Run) -> Members:
    """The members among what `run` names, weighted as params say.

    Raises InputError where none is left, or only members of weight 0.
    """
    weights = settings.weights or [1.0] * len(settings.members)
    running = {*run.classifiers, *run.networks}
    kept = [(member, weight) for member, weight in zip(settings.members, weights, strict=True) if member in running]
    left_out = [member for member in settings.members if member not in running]
    total = sum(weight for _, weight in kept)
    if not total:
        without = "with a weight above 0 " * bool(kept)
        raise InputError(
            f"ensembles.{name}: no member {without}runs (members: {first_few(settings.members)}); name one in "
            f"run.networks or run.classifiers, or take {name} out: -S 'run.ensembles=[]'"
        )
    return Members([member for member, _ in kept], [weight / total for _, weight in kept], left_out)


def combine(probabilities: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Weighted average of the members' probabilities (soft voting).

    probabilities: one float (N, C) a member, rows sum to 1. weights: one a member, they sum to 1.
    Returns float64 (N, C).
    """
    return np.average(np.stack(probabilities), axis=0, weights=np.asarray(weights))
