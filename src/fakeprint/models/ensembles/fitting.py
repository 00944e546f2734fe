"""Fitting of ensembles on the members' validation probabilities.

No member's weights were fitted on validation images, but a k-NN's k and a network's epoch were chosen on them, so such
members' validation probabilities are slightly too good.

An ensemble with `degraded: true` is also fitted on the members' probabilities of degraded copies of these images.
Copies of an image are in its fold, so that no image is predicted by a combination that was fitted on a copy of it.

Metrics of a combination on the images it was fitted on are too high. So there are two: `fit` on all of validation
predicts test and new images; `cross_fit` splits validation into folds, and each fold is predicted by a combination
fitted on the others. An ensemble's metrics on validation, degraded images included, come from the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fakeprint import params, seeds
from fakeprint.errors import InputError
from fakeprint.folds import group_folds, groups_of_class
from fakeprint.models.ensembles.combinations import Combination, Learned, Stacked, WeightedAverage
from fakeprint.verdict.calibration import log_loss, log_probabilities, temperature, tempered

if TYPE_CHECKING:
    from fakeprint.models.ensembles.learned import EnsembleHead

ABSENT = -1e3  # the logit of a class without validation images


@dataclass(frozen=True)
class CrossFitted:
    """One combination per fold, fitted on the other folds; fold: int (N,), of each validation image."""

    combinations: list[Combination]
    fold: np.ndarray

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities float64 (N, C) of the validation images, in their order, from their members' (N, M, C)."""
        combined = np.empty((probabilities.shape[0], probabilities.shape[2]))
        for number, combination in enumerate(self.combinations):
            combined[self.fold == number] = combination(probabilities[self.fold == number])
        return combined


def fit(
    name: str,
    settings: params.AnyEnsemble,
    weights: list[float],
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int,
    degraded: Sequence[np.ndarray] = (),
    fold: int | None = None,
) -> Combination:
    """Fit the ensemble `name` on validation images; an average without calibration has nothing to fit.

    Args:
        name: of the ensemble.
        settings: its block.
        weights: of an average, one per member.
        probabilities: of the members, float (N, M, C).
        labels: int64 (N,).
        groups: int64 (N,), equal for images that are not separated where some are held out.
        seed: params.seed.
        degraded: the members' probabilities of degraded copies, float (N, M, C) each, which it is fitted on too.
        fold: the number of the fold that is left out, if any.

    Raises:
        InputError: `learned` has only one group.
    """
    probabilities = np.concatenate([probabilities, *degraded])
    labels, groups = np.tile(labels, 1 + len(degraded)), np.tile(groups, 1 + len(degraded))
    if isinstance(settings, params.Stacking):
        return _stacking(settings, probabilities, labels)
    if isinstance(settings, params.Learned):
        own_seed = seeds.integer(seed, f"ensemble/{name}", *([] if fold is None else [fold]))
        if len(np.unique(groups)) < 2:
            raise InputError(
                f"ensembles.{name}: learned holds out a group of images, but all images are one group; remove {name}, "
                "or add images"
            )
        return _learned(settings, probabilities, labels, groups, own_seed)
    temperatures = [1.0] * probabilities.shape[1]
    if settings.calibrate:
        temperatures = [temperature(probabilities[:, member], labels) for member in range(probabilities.shape[1])]
    if isinstance(settings, params.Greedy):
        scaled = np.stack([tempered(probabilities[:, member], T) for member, T in enumerate(temperatures)], axis=1)
        weights = greedy_weights(scaled, labels, settings.rounds, settings.by)
    return WeightedAverage(weights, temperatures)


def cross_fit(
    name: str,
    settings: params.AnyEnsemble,
    weights: list[float],
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int,
    degraded: Sequence[np.ndarray] = (),
) -> CrossFitted:
    """As `fit`, but with one combination per fold, fitted on the other folds: stratified, seeded, of whole groups.

    Raises InputError if a class has fewer groups of validation images than there are folds.
    """
    if isinstance(settings, params.Average) and not settings.calibrate:
        return CrossFitted([WeightedAverage(weights, [1.0] * len(weights))], np.zeros(len(labels), dtype=np.int64))
    fewest = min(groups_of_class(labels, groups).values(), default=0)
    if fewest < settings.folds:
        fix = f"set it to {fewest}" if fewest > 1 else f"remove {name}: -S 'run.ensembles=[]'"
        raise InputError(
            f"ensembles.{name}.folds: {settings.folds} folds need at least {settings.folds} groups of validation "
            f"images per class, and one class has {fewest} (near duplicates and data.group_column form groups); {fix}"
        )
    fold = group_folds(labels, groups, settings.folds, seeds.generator(seed, f"ensemble/{name}/folds"))
    combinations = []
    for number in range(settings.folds):
        others = fold != number
        copies = [each[others] for each in degraded]
        data = (probabilities[others], labels[others], groups[others], seed, copies, number)
        combinations.append(fit(name, settings, weights, *data))
    return CrossFitted(combinations, fold)


def greedy_weights(probabilities: np.ndarray, labels: np.ndarray, rounds: int, by: str) -> list[float]:
    """Weights, summing to 1, by forward selection with replacement (Caruana et al. 2004, "Ensemble selection").

    Each round adds the member that improves the average most, the first of equals; the counts of the best round are
    the weights. probabilities: float (N, M, C). by: "log_loss" or "accuracy" (equal ones by log loss).
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
    return accuracy, -log_loss(probabilities, labels)


def _stacking(settings: params.Stacking, probabilities: np.ndarray, labels: np.ndarray) -> Stacked:
    from sklearn.linear_model import LogisticRegression

    members, classes = probabilities.shape[1:]
    coefficients, intercepts = np.zeros((classes, members * classes)), np.full(classes, ABSENT)
    present = np.unique(labels)
    if len(present) == 1:
        intercepts[present] = 0.0
        return Stacked(coefficients.tolist(), intercepts.tolist())
    model = LogisticRegression(C=settings.C, max_iter=5000)
    model.fit(log_probabilities(probabilities).reshape(len(probabilities), -1), labels)
    if len(present) == 2:  # one row, for the second class against the first
        intercepts[present] = [0.0, model.intercept_[0]]
        coefficients[present[1]] = model.coef_[0]
    else:
        coefficients[present], intercepts[present] = model.coef_, model.intercept_
    return Stacked(coefficients.tolist(), intercepts.tolist())


def _learned(
    settings: params.Learned, probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
) -> Learned:
    """System C's recipe: Adam, lr lowered on a plateau of accuracy, weights of the best epoch.

    A share of the images, in whole groups, is held out to measure the accuracy. One thread, so that the result does not
    depend on the number of cores; so small a network gains nothing from more.
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

    from fakeprint.models.ensembles.learned import EnsembleHead

    is_held_out = _held_out(groups, settings.held_out, rng)
    held_out, fitted_on = torch.from_numpy(np.flatnonzero(is_held_out)), np.flatnonzero(~is_held_out)
    inputs, targets = torch.from_numpy(probabilities.astype(np.float32)), torch.tensor(labels)
    head = EnsembleHead(probabilities.shape[1], probabilities.shape[2], settings.dropout)
    optimiser = torch.optim.Adam(head.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", patience=settings.patience, factor=settings.factor, threshold=0, eps=0
    )
    best_accuracy, best_weights, waited = -1.0, {}, 0
    for _ in range(settings.epochs):
        head.train()
        for rows in torch.from_numpy(rng.permutation(fitted_on)).split(settings.batch_size):
            # the head returns probabilities, whose logarithms serve as logits
            logits = head(inputs[rows]).clamp_min(1e-8).log()
            loss = torch.nn.functional.cross_entropy(logits, targets[rows], label_smoothing=settings.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        head.eval()
        with torch.no_grad():
            accuracy = float((head(inputs[held_out]).argmax(1) == targets[held_out]).float().mean())
        plateau.step(accuracy)
        waited = 0 if accuracy > best_accuracy else waited + 1
        if accuracy > best_accuracy:
            best_accuracy, best_weights = accuracy, {key: value.clone() for key, value in head.state_dict().items()}
        if settings.early_stopping and waited >= settings.early_stopping:
            break
    head.load_state_dict(best_weights)
    return head.eval()


def _held_out(groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Images to hold out, bool (N,): whole groups at random, up to the share; the smallest group if none fits."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    left, chosen = max(1, round(share * len(groups))), []
    for number in rng.permutation(len(sizes)):
        if sizes[number] <= left:
            chosen.append(number)
            left -= sizes[number]
    return np.isin(group, chosen[: len(sizes) - 1] or [sizes.argmin()])
