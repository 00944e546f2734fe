"""Results of studies that nobody ran: predictions of simulated arms, with figures that are those of the predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.evaluation import metrics
from fakeprint.evaluation.predictions import Predictions
from fakeprint.studies.results import Cell, CellResult, StudyResults
from fakeprint.studies.study import BASELINE, Study

NAMES, BINS = list("abc"), 15
DEGRADATIONS = ("jpeg_75", "blur_1", "messenger")


def predictions_of(score: np.ndarray, seed: int = 0, size: int = 1) -> Predictions:
    """Predictions that are right where the score, float (N,), is above 0, in groups of `size` images."""
    labels = np.random.default_rng(seed).integers(0, len(NAMES), len(score))
    rows, right = np.arange(len(score)), 1 / (1 + np.exp(-2 * score))
    probabilities = np.full((len(score), len(NAMES)), 1e-6)
    probabilities[rows, (labels + 1) % len(NAMES)] = 1 - right
    probabilities[rows, labels] = right
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    ids = np.array([f"{seed}/{row:06}.png" for row in rows], dtype=object)
    return Predictions(ids, labels, probabilities, rows // size, np.full(len(score), None, dtype=object))


def cell(
    arm: str, replicate: int, scores: Mapping[str, np.ndarray], splits: int = 0, extras: bool = False
) -> CellResult:
    """A cell from the scores of its models; splits: of the labels. extras: curves, degraded images and seconds too."""
    found = {model: predictions_of(score, splits) for model, score in scores.items()}
    figures = {
        model: {
            name: value
            for name, value in metrics.figures(each.labels, each.probabilities, NAMES, BINS, areas=False).items()
            if isinstance(value, float)
        }
        for model, each in found.items()
    }
    more: dict[str, Any] = {}
    if extras:
        epochs = np.arange(1, 9)
        more["degraded"] = {
            model: {name: own["accuracy"] * (0.95 - 0.1 * step) for step, name in enumerate(DEGRADATIONS)}
            for model, own in figures.items()
        }
        more["curves"] = {
            model: pd.DataFrame({"epoch": epochs, "validation_accuracy": own["accuracy"] * (1 - 0.6 ** (epochs + 1))})
            for model, own in figures.items()
        }
        more["seconds"] = 60.0 + 10 * replicate
    return CellResult(Cell(arm, replicate, f"{arm}-{replicate}"), figures, predictions=found.__getitem__, **more)


def study(
    effects: Mapping[str, float],
    replicates: Sequence[int] = range(5),
    images: int = 300,
    seed: int = 0,
    chance: float = 0.3,
    models: Sequence[str] = ("small_cnn",),
    missing: Sequence[tuple[str, int]] = (),
    extras: bool = False,
    path: Sequence[str] = (),
    held_out: float = 0.0,
    **about: Any,
) -> StudyResults:
    """A study with a baseline and these arms.

    effects: what each arm adds to every image's score, the baseline 0. chance: of the training, per image and seed;
    0 makes each seed give the same. Folds predict different images.
    """
    rng = np.random.default_rng(seed)
    arms: dict[str, dict[str, Any]] = {BASELINE: {}, **{arm: {"model.dropout": effects[arm]} for arm in effects}}
    folds = bool(about.get("folds"))
    cells = []
    base = {model: 1.0 + rng.standard_normal(images) for model in models}
    for replicate in replicates:
        if folds:
            base = {model: 1.0 + rng.standard_normal(images) for model in models}
        for arm in arms:
            scores = {
                model: base[model] + effects.get(arm, 0.0) + chance * rng.standard_normal(images) for model in models
            }
            if (arm, replicate) not in missing:
                cells.append(cell(arm, replicate, scores, replicate if folds else 0, extras))
    listed = {"folds": list(replicates)} if folds else {"seeds": list(replicates)}
    given = {"question": "Does it help?", "arms": {arm: arms[arm] for arm in effects}, "models": list(models)}
    text = Study(**given | about | listed)
    return StudyResults(
        "made-up", text, arms, list(replicates), cells, path=list(path), title="made-up images", held_out=held_out
    )
