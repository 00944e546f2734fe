"""Calibration: probabilities that mean what they say. Of the images answered with 0.8, 80 % should be right.

A calibration is fitted on images that no model learned from. Its figures on those images are too good, so there are two
fits, as for ensembles: `fit` on all of them serves test and new images; `cross_fit` divides them into folds of whole
groups, and each image gets the probabilities of a calibration that was fitted without it. A model's figures on
validation come from the second.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, logit, softmax

from fakeprint import params, seeds
from fakeprint.errors import InputError, first_few
from fakeprint.folds import group_folds, groups_of_class

LOWEST = 1e-6  # a k-NN predicts probabilities of 0, which have no logarithm
TEMPERATURES = (0.05, 20.0)
MOST_BIAS = 10.0  # of log-probabilities, whose own range is that of `LOWEST`, 13.8
DIGITS = 3  # to which Venn-Abers rounds its scores: at most 1,001 steps, whatever the number of images


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Natural logarithms, of probabilities of at least `LOWEST`."""
    return np.log(np.clip(probabilities, LOWEST, 1.0))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Temperature scaling: p^(1/T), normalised over the last axis, the classes.

    T > 1 makes probabilities less confident. Guo et al. 2017, "On Calibration of Modern Neural Networks", with
    log-probabilities as logits.
    """
    return probabilities if temperature == 1 else softmax(log_probabilities(probabilities) / temperature, axis=-1)


@dataclass(frozen=True)
class Raw:
    """No calibration: the probabilities as they are."""

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """The same probabilities, float64 (N, C)."""
        return probabilities

    def as_json(self) -> dict[str, Any]:
        """What `load` reads."""
        return {"method": "none"}


@dataclass(frozen=True)
class Scaled:
    """softmax(scale · ln p + bias), by class: temperature scaling, with a bias, or vector scaling (Guo et al. 2017).

    method: temperature, bias or vector. scale: (C,), all equal to 1/T but for vector. bias: (C,), all 0 for
    temperature, and of sum 0 elsewhere.
    """

    method: str
    scale: list[float]
    bias: list[float]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (N, C), rows sum to 1, of a model's (N, C)."""
        return softmax(log_probabilities(probabilities) * np.array(self.scale) + np.array(self.bias), axis=-1)

    def as_json(self) -> dict[str, Any]:
        """What `load` reads."""
        return {"method": self.method, "scale": self.scale, "bias": self.bias}


@dataclass(frozen=True)
class VennAbers:
    """A Venn-Abers predictor of each class against the rest (Vovk et al. 2015), by the library venn-abers, normalised.

    Against the rest, because coupled pairs of classes were much less confident than right (docs/verdict.md). scores:
    (M, C) in [0, 1], `_scores` of the images that it was fitted on. labels: (M,), their class indices.
    """

    scores: list[list[float]]
    labels: list[int]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (N, C), rows sum to 1, of a model's (N, C)."""
        if not len(probabilities):
            return probabilities
        with np.errstate(divide="ignore", invalid="ignore"):  # importing the library changes this for the whole process
            from venn_abers.venn_abers import predict_proba_prefitted_va

            # not `catch_warnings`, which other threads share
            warnings.filterwarnings("ignore", message="All-NaN slice", module=r"venn_abers\.")
            known, labels, given = np.array(self.scores), np.array(self.labels), _scores(probabilities)
            found, _ = predict_proba_prefitted_va(known, labels, given, DIGITS, "one_vs_rest")
        return np.asarray(found)

    def as_json(self) -> dict[str, Any]:
        """What `load` reads."""
        return {"method": "venn_abers", "scores": self.scores, "labels": self.labels}


Calibration = Raw | Scaled | VennAbers


def _scores(probabilities: np.ndarray) -> np.ndarray:
    """Log-odds mapped to [0, 1] and rounded: Venn-Abers goes by order alone, and probabilities crowd near 0 and 1."""
    within = np.clip(probabilities, LOWEST, 1 - LOWEST)
    return np.round(logit(within) / (2 * logit(1 - LOWEST)) + 0.5, DIGITS)


def load(content: dict[str, Any]) -> Calibration:
    """The calibration that `as_json` described. Raises ValueError for an unknown method."""
    method = content["method"]
    fields = {key: value for key, value in content.items() if key != "method"}
    if method == "none":
        return Raw()
    if method in ("temperature", "bias", "vector"):
        return Scaled(method, **fields)
    if method == "venn_abers":
        return VennAbers(**fields)
    raise ValueError(f"unknown calibration method: {method}")


@dataclass(frozen=True)
class CrossFitted:
    """One calibration per fold, fitted on the other folds; fold: int (N,), of each image."""

    calibrations: list[Calibration]
    fold: np.ndarray

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (N, C), of the same images, clean or degraded, in order."""
        calibrated = np.empty(probabilities.shape)
        for number, calibration in enumerate(self.calibrations):
            calibrated[self.fold == number] = calibration(probabilities[self.fold == number])
        return calibrated


def fit(settings: params.Calibrate, probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit a calibration to images that the model did not learn from; lowest log loss for all but venn_abers.

    Args:
        settings: the block `calibrate`.
        probabilities: float (N, C), of the model.
        labels: int (N,), class indices.
    """
    if settings.method == "none":
        return Raw()
    if settings.method == "temperature":
        inverse = 1 / temperature(probabilities, labels)
        classes = probabilities.shape[1]
        return Scaled("temperature", [inverse] * classes, [0.0] * classes)
    if settings.method == "venn_abers":
        return VennAbers(_scores(probabilities).tolist(), labels.tolist())
    return _scaled(settings.method, probabilities, labels)


def temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the lowest log loss, from 0.05 to 20 (Guo et al. 2017); above 1 for an overconfident model.

    probabilities: float (N, C). labels: int64 (N,).
    """
    from scipy.optimize import minimize_scalar

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda logarithm: log_loss(tempered(probabilities, np.exp(logarithm)), labels),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x))


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of −ln p of the label, in nats. probabilities: float (N, C). labels: int (N,)."""
    return float(-log_probabilities(probabilities[np.arange(len(labels)), labels]).mean())


def _scaled(method: str, probabilities: np.ndarray, labels: np.ndarray) -> Scaled:
    """Scale and bias with the lowest log loss, which is a convex function of both."""
    from scipy.optimize import minimize

    logits, classes = log_probabilities(probabilities), probabilities.shape[1]
    actual = np.eye(classes)[labels]
    scales = classes if method == "vector" else 1

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = log_softmax(logits * parameters[:scales] + parameters[scales:], axis=1)
        error = (np.exp(scaled) - actual) / len(labels)
        by_scale = (error * logits).sum(axis=0)
        gradient = np.concatenate([by_scale if scales > 1 else [by_scale.sum()], error.sum(axis=0)])
        return float(-(scaled * actual).sum() / len(labels)), gradient

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    bounds = [(low, high)] * scales + [(-MOST_BIAS, MOST_BIAS)] * classes
    start = np.concatenate([np.ones(scales), np.zeros(classes)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-8})
    scale, bias = np.broadcast_to(found.x[:scales], classes), found.x[scales:]
    return Scaled(method, [float(value) for value in scale], [float(value) for value in bias - bias.mean()])


def cross_fit(
    settings: params.Calibrate, probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
) -> CrossFitted:
    """As `fit`, with one calibration per fold, fitted on the other folds: stratified, seeded, of whole groups.

    The folds are the same for every model. Arguments as of `fit`; groups: int64 (N,), equal for images that are not
    independent; seed: params.seed.
    """
    if settings.method == "none":
        return CrossFitted([Raw()], np.zeros(len(labels), dtype=np.int64))
    fold = group_folds(labels, groups, settings.folds, seeds.generator(seed, "calibrate/folds"))
    calibrations = [
        fit(settings, probabilities[fold != number], labels[fold != number]) for number in range(settings.folds)
    ]
    return CrossFitted(calibrations, fold)


def feasible(settings: params.Calibrate, labels: np.ndarray, groups: np.ndarray) -> tuple[params.Calibrate, str | None]:
    """The block with as many folds as the images allow, without calibration where a class is one group; and a warning.

    labels: int (N,), of the images to fit on. groups: int (N,). A few images should not stop a run whose user never
    asked for calibration.
    """
    fewest = min(groups_of_class(labels, groups).values(), default=0)
    if settings.method == "none" or fewest >= settings.folds:
        return settings, None
    few = (
        f"one class has only {fewest} group(s) of images to calibrate on (near duplicates and data.group_column form "
        "groups)"
    )
    if fewest < 2:
        return settings.model_copy(update={"method": "none"}), f"probabilities are not calibrated: {few}"
    return settings.model_copy(update={"folds": fewest}), f"{fewest} folds instead of {settings.folds}: {few}"


def require_every_class(settings: params.Calibrate, labels: np.ndarray, names: list[str]) -> None:
    """Refuse methods that fit something for each class, where a class has no image. names: of the C classes."""
    missing = [name for number, name in enumerate(names) if number not in set(labels.tolist())]
    if missing and settings.method in ("bias", "vector", "venn_abers"):
        raise InputError(
            f"calibrate.method: {settings.method} needs images of every class, and there are none of "
            f"{first_few(missing)}; use temperature"
        )
