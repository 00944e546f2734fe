"""A detector of each generator, or of each pair of classes, and its log-odds of all validation images."""

from collections.abc import Callable

import numpy as np

from fakeprint.data.arrays import load_index
from fakeprint.evaluation.cross_generator import Images, Pair, Sources
from fakeprint.params import Params
from fakeprint.refits.refit import Task, refit


def images_of(split: str) -> Images:
    """Labels and generators of a split."""
    index = load_index(split)
    generators = index["generator"].astype(object)
    return Images(
        index["class"].to_numpy(dtype=np.int64), generators.where(generators.notna(), None).to_numpy(dtype=object)
    )


def detectors(settings: Params, name: str, found: Sources) -> tuple[dict[Pair, np.ndarray], list[Callable[[], None]]]:
    """Fit model `name` to each pair.

    Returns ln(P(other) / P(anchor)) of all validation images, float64 (N,), and what is to be called when that is on
    disk, see `Refit.finished`.
    """
    log_odds, finished = {}, []
    train, validation = images_of("train"), images_of("validation")
    for pair in found.pairs():
        print(f"{name}: {pair.anchor} against {pair.other}", flush=True)
        task = Task(
            [pair.anchor, pair.other],
            _side(found, pair, train),
            _side(found, pair, validation),
            f"cross_generator/{name}/{pair.anchor}/{pair.other}",
        )
        fitted = refit(settings, name, task, features=False)
        logits = fitted.validation.logits
        log_odds[pair] = logits[:, 1] - logits[:, 0]
        finished.append(fitted.finished)
    return log_odds, finished


def _side(found: Sources, pair: Pair, images: Images) -> np.ndarray:
    side = np.full(len(images.labels), -1)
    side[found.anchor_rows(pair.anchor, pair.other, images)] = 0
    side[found.rows(pair.other, images)] = 1
    return side
