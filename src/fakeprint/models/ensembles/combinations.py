"""Combinations of the probabilities of several models, saved and loaded; `fitting` fits them.

An ensemble is stored as model.json, with the members' names and all fitted numbers; the weights of the learned one are
in head.safetensors. Members' probabilities are float (N, M, C): images, members, classes; rows sum to 1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import softmax

from fakeprint.errors import InputError, first_few
from fakeprint.files import sha256, share
from fakeprint.models.description import RESTORE, read_description, write_description
from fakeprint.params import Ensemble, Run
from fakeprint.verdict.calibration import log_probabilities, tempered

if TYPE_CHECKING:
    from fakeprint.models.ensembles.learned import EnsembleHead

HEAD = "head.safetensors"


@dataclass(frozen=True)
class Members:
    """Names of the members with their weights, which sum to 1; left_out: members named in params that do not run."""

    names: list[str]
    weights: list[float]
    left_out: list[str]


def members_that_run(name: str, settings: Ensemble, run: Run) -> Members:
    """The members that `run` names, with the weights of params.yaml (equal weights by default).

    Raises InputError if none is left, or only members of weight 0.
    """
    weights = getattr(settings, "weights", []) or [1.0] * len(settings.members)
    running = {*run.classifiers, *run.networks}
    kept = [(member, weight) for member, weight in zip(settings.members, weights, strict=True) if member in running]
    left_out = [member for member in settings.members if member not in running]
    total = sum(weight for _, weight in kept)
    if not total:
        without = "with a weight above 0 " * bool(kept)
        raise InputError(
            f"ensembles.{name}: no member {without}runs (members: {first_few(settings.members)}); add one to "
            f"run.networks or run.classifiers, or remove {name}: -S 'run.ensembles=[]'"
        )
    return Members([member for member, _ in kept], [weight / total for _, weight in kept], left_out)


@dataclass(frozen=True)
class WeightedAverage:
    """Soft voting: the members' probabilities, each scaled by its temperature, averaged by weights that sum to 1."""

    weights: list[float]
    temperatures: list[float]
    methods: ClassVar[tuple[str, ...]] = ("average", "greedy")

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities float64 (N, C) of the members' (N, M, C)."""
        scaled = [
            tempered(probabilities[:, member], temperature) for member, temperature in enumerate(self.temperatures)
        ]
        return np.average(np.stack(scaled), axis=0, weights=self.weights)


@dataclass(frozen=True)
class Stacked:
    """Multinomial logistic regression on the members' log-probabilities (Wolpert 1992, "Stacked generalization").

    coefficients: (C, M·C), one row per class, the first member's classes first. intercepts: (C,).
    """

    coefficients: list[list[float]]
    intercepts: list[float]
    methods: ClassVar[tuple[str, ...]] = ("stacking",)

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities float64 (N, C) of the members' (N, M, C)."""
        numbers = log_probabilities(probabilities).reshape(
            len(probabilities), probabilities.shape[1] * probabilities.shape[2]
        )
        return softmax(numbers @ np.array(self.coefficients).T + np.array(self.intercepts), axis=-1)


@dataclass(frozen=True)
class Learned:
    """System C's small network over the members' probabilities: see `fakeprint.models.ensembles.learned`."""

    head: "EnsembleHead"
    methods: ClassVar[tuple[str, ...]] = ("learned",)

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities float64 (N, C) of the members' (N, M, C)."""
        import torch

        with torch.inference_mode():
            return self.head.eval()(torch.from_numpy(probabilities.astype(np.float32))).double().numpy()


Combination = WeightedAverage | Stacked | Learned


def without_idle(members: list[str], combination: Combination) -> tuple[list[str], Combination]:
    """The same ensemble without members of weight 0."""
    if not isinstance(combination, WeightedAverage):
        return members, combination
    triples = zip(members, combination.weights, combination.temperatures, strict=True)
    names, weights, temperatures = zip(*(triple for triple in triples if triple[1] > 0), strict=True)
    return list(names), WeightedAverage(list(weights), list(temperatures))


def save_ensemble(folder: Path, description: dict[str, Any], combination: Combination) -> None:
    """Write into an existing folder. description: name, method, members, dataset; the fitted numbers are added."""
    if isinstance(combination, Learned):
        from safetensors.torch import save_file

        save_file(combination.head.state_dict(), folder / HEAD)
        share(folder / HEAD)
        fitted: dict[str, Any] = {"head_sha256": sha256(folder / HEAD)}
    else:
        fitted = dict(vars(combination))
    write_description(folder, "ensemble", {**description, **fitted})


def load_ensemble(folder: Path) -> tuple[list[str], Combination]:
    """The members' names and their combination. Raises InputError for missing, damaged or foreign content."""
    path, description = folder / "model.json", read_description(folder, "ensemble")
    try:
        method, members = description["method"], description["members"]
        if method not in Learned.methods + Stacked.methods + WeightedAverage.methods:
            raise InputError(f"{path}: the ensemble method '{method}' is unknown: {RESTORE}")
        size, classes = len(members), len(description["dataset"]["classes"])
        if not size or any(name == ".." or Path(name).name != name for name in members):
            raise InputError(f"{path}: members must be names of models beside it: {RESTORE}")
        if method in Learned.methods:
            return members, Learned(_load_head(folder, description))
        if method in Stacked.methods:
            stacked = Stacked(description["coefficients"], description["intercepts"])
            _require_shape(path, "coefficients", stacked.coefficients, (classes, size * classes))
            _require_shape(path, "intercepts", stacked.intercepts, (classes,))
            return members, stacked
        average = WeightedAverage(description["weights"], description["temperatures"])
        _require_shape(path, "weights", average.weights, (size,))
        _require_shape(path, "temperatures", average.temperatures, (size,))
        return members, average
    except KeyError as missing:
        raise InputError(f"{path} has no {missing}; it was written by another version: {RESTORE}") from None
    except TypeError as error:
        raise InputError(f"{path} is damaged ({error}): {RESTORE}") from None


def _require_shape(path: Path, name: str, numbers: list[Any], shape: tuple[int, ...]) -> None:
    try:
        sound = np.array(numbers, dtype=np.float64).shape == shape
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise InputError(f"{path}: {name} must be {' × '.join(map(str, shape))} numbers: {RESTORE}")


def _load_head(folder: Path, description: dict[str, Any]) -> "EnsembleHead":
    from safetensors.torch import load_file

    from fakeprint.models.ensembles.learned import EnsembleHead

    path = folder / HEAD
    if not path.exists():
        raise InputError(f"{path} is missing: {RESTORE}")
    if sha256(path) != description["head_sha256"]:
        raise InputError(f"{path} does not match the model.json beside it: {RESTORE}")
    head = EnsembleHead(len(description["members"]), len(description["dataset"]["classes"]))
    try:
        head.load_state_dict(load_file(path))
    except RuntimeError:
        raise InputError(f"{path} is not of the members and classes in the model.json beside it: {RESTORE}") from None
    return head.eval()
