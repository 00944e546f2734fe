"""Fitting of ensembles on the members' validation probabilities, which no member was fitted on.

A combination that was fitted on validation flatters itself there. So there are two: `fit` on all of validation answers
test images and strange ones; `cross_fit` splits validation into folds, and each fold is answered by a combination that
was fitted on the others. Figures of an ensemble on validation, degraded images included, are the second's.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fakeprint import params, seeds
from fakeprint.errors import InputError
from fakeprint.folds import group_folds, groups_of_class
from fakeprint.models.ensembles import (
    Combination,
    Learned,
    Stacked,
    WeightedAverage,
    log_probabilities,
    tempered,
)

if TYPE_CHECKING:
    from fakeprint.models.learned_ensemble import EnsembleHead

TEMPERATURES = (0.05, 20.0)
UNSEEN = -1e3  # the logit of a class without validation images


@dataclass(frozen=True)
class CrossFitted:
    """One combination a fold, each fitted on the other folds; fold: int (N,), of each validation image."""

    combinations: list[Combination]
    fold: np.ndarray

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities float64 (N, C) of the validation images, in their order, by their members' (N, M, C)."""
        answers = np.empty((probabilities.shape[0], probabilities.shape[2]))
        for number, combination in enumerate(self.combinations):
            answers[self.fold == number] = combination(probabilities[self.fold == number])
        return answers


def fit(
    name: str,
    settings: params.AnyEnsemble,
    weights: list[float],
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int,
    *fold: int,
) -> Combination:
    """Fit the ensemble `name` on validation images; an average without calibration has nothing to fit.

    weights: an average's, one a member. probabilities: the members' probabilities, float (N, M, C). labels: int64 (N,).
    groups: int64 (N,), equal for images that stay together where some are kept aside. seed: params' seed; fold: the
    number of the fold that is left out, if any. Raises InputError where `learned` has one group alone.
    """
    if isinstance(settings, params.Stacking):
        return _stacking(settings, probabilities, labels)
    if isinstance(settings, params.Learned):
        if len(np.unique(groups)) < 2:
            raise InputError(
                f"ensembles.{name}: learned keeps a group of images aside and is fitted on the others, but all images "
                f"to fit on are one group; take {name} out, or more images"
            )
        return _learned(settings, probabilities, labels, groups, seeds.integer(seed, f"ensemble/{name}", *fold))
    temperatures = [1.0] * probabilities.shape[1]
    if settings.calibrate:
        temperatures = [temperature(probabilities[:, member], labels) for member in range(probabilities.shape[1])]
    if isinstance(settings, params.Greedy):
        at = np.stack(
            [tempered(probabilities[:, member], degree) for member, degree in enumerate(temperatures)], axis=1
        )
        weights = greedy_weights(at, labels, settings.rounds, settings.by)
    return WeightedAverage(weights, temperatures)


def cross_fit(
    name: str,
    settings: params.AnyEnsemble,
    weights: list[float],
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int,
) -> CrossFitted:
    """As `fit`, but each fold's combination is fitted on the other folds: stratified, seeded, of whole groups.

    Raises InputError where a class has fewer groups of validation images than there are folds.
    """
    if isinstance(settings, params.Average) and not settings.calibrate:
        return CrossFitted([WeightedAverage(weights, [1.0] * len(weights))], np.zeros(len(labels), dtype=np.int64))
    least = min(groups_of_class(labels, groups).values(), default=0)
    if least < settings.folds:
        mend = f"set it to {least}" if least > 1 else f"take {name} out: -S 'run.ensembles=[]'"
        raise InputError(
            f"ensembles.{name}.folds: {settings.folds} folds need as many groups of validation images (near duplicates "
            f"and what belongs together are one) of each class, and one class has {least}; {mend}"
        )
    fold = group_folds(labels, groups, settings.folds, seeds.generator(seed, f"ensemble/{name}/folds"))
    combinations = [
        fit(name, settings, weights, *(each[fold != number] for each in (probabilities, labels, groups)), seed, number)
        for number in range(settings.folds)
    ]
    return CrossFitted(combinations, fold)


def temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of least log loss, from 0.05 to 20 (Guo et al. 2017); above 1 for a model that is too sure.

    probabilities: float (N, C). labels: int64 (N,).
    """
    from scipy.optimize import minimize_scalar

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda logarithm: _log_loss(tempered(probabilities, np.exp(logarithm)), labels),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x))


def greedy_weights(probabilities: np.ndarray, labels: np.ndarray, rounds: int, by: str) -> list[float]:
    """Weights, summing to 1, by forward selection with replacement (Caruana et al. 2004, "Ensemble selection").

    Each round adds the member that makes the average best, the first of equals; the best round's counts are the
    weights. probabilities: float (N, M, C). by: "log_loss" or "accuracy" (equal ones by log loss).
    """
    counts, total = np.zeros(probabilities.shape[1]), np.zeros((probabilities.shape[0], probabilities.shape[2]))
    best_score, best_counts = (-np.inf, -np.inf), counts
    for size in range(1, rounds + 1):
        scores = [
            _score((total + probabilities[:, member]) / size, labels, by) for member in range(probabilities.shape[1])
        ]
        chosen = max(range(len(scores)), key=scores.__getitem__)
        total = total + probabilities[:, chosen]
        counts[chosen] += 1
        if scores[chosen] > best_score:
            best_score, best_counts = scores[chosen], counts.copy()
    return [float(weight) for weight in best_counts / best_counts.sum()]


def _score(probabilities: np.ndarray, labels: np.ndarray, by: str) -> tuple[float, float]:
    accuracy = float(np.mean(probabilities.argmax(axis=1) == labels)) if by == "accuracy" else 0.0
    return accuracy, -_log_loss(probabilities, labels)


def _log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_probabilities(probabilities[np.arange(len(labels)), labels]).mean())


def _stacking(settings: params.Stacking, probabilities: np.ndarray, labels: np.ndarray) -> Stacked:
    from sklearn.linear_model import LogisticRegression

    members, classes = probabilities.shape[1:]
    coefficients, intercepts = np.zeros((classes, members * classes)), np.full(classes, UNSEEN)
    seen = np.unique(labels)
    if len(seen) == 1:
        intercepts[seen] = 0.0
        return Stacked(coefficients.tolist(), intercepts.tolist())
    model = LogisticRegression(C=settings.C, max_iter=5000)
    model.fit(log_probabilities(probabilities).reshape(len(probabilities), -1), labels)
    if len(seen) == 2:  # one row, for the second class against the first
        intercepts[seen] = [0.0, model.intercept_[0]]
        coefficients[seen[1]] = model.coef_[0]
    else:
        coefficients[seen], intercepts[seen] = model.coef_, model.intercept_
    return Stacked(coefficients.tolist(), intercepts.tolist())


def _learned(
    settings: params.Learned, probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
) -> Learned:
    """System C's recipe: Adam, lr lowered on a plateau of accuracy, the best epoch kept.

    A share of the images, in whole groups, is kept aside to measure the accuracy. One thread, so that the result is the
    same whatever the number of cores; such a small network gains nothing from more.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Learned(_trained_head(settings, probabilities, labels, groups, np.random.default_rng(seed)))
    finally:
        torch.set_num_threads(threads)


def _trained_head(
    settings: params.Learned,
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
) -> "EnsembleHead":
    import torch

    from fakeprint.models.learned_ensemble import EnsembleHead

    aside = _aside(groups, settings.held_out, rng)
    kept, fitted_on = torch.from_numpy(np.flatnonzero(aside)), np.flatnonzero(~aside)
    inputs, targets = torch.from_numpy(probabilities.astype(np.float32)), torch.tensor(labels)
    head = EnsembleHead(probabilities.shape[1], probabilities.shape[2], settings.dropout)
    optimiser = torch.optim.Adam(head.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", patience=settings.patience, factor=settings.factor, threshold=0, eps=0
    )
    best, best_state, waited = -1.0, {}, 0
    for _ in range(settings.epochs):
        head.train()
        for rows in torch.from_numpy(rng.permutation(fitted_on)).split(settings.batch_size):
            # the head answers with probabilities, and their logarithms are logits
            logits = head(inputs[rows]).clamp_min(1e-8).log()
            loss = torch.nn.functional.cross_entropy(logits, targets[rows], label_smoothing=settings.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        head.eval()
        with torch.no_grad():
            accuracy = float((head(inputs[kept]).argmax(1) == targets[kept]).float().mean())
        plateau.step(accuracy)
        waited = 0 if accuracy > best else waited + 1
        if accuracy > best:
            best, best_state = accuracy, {key: value.clone() for key, value in head.state_dict().items()}
        if settings.early_stopping and waited >= settings.early_stopping:
            break
    head.load_state_dict(best_state)
    return head.eval()


def _aside(groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Where images are kept aside, bool (N,): whole groups at random, up to the share, at least one."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    within = np.cumsum(sizes[order]) <= max(1, round(share * len(groups)))
    return np.isin(group, order[: max(1, min(int(within.sum()), len(sizes) - 1))])
