"""Labels that are probably wrong, by confident learning, as a table that a person completes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fakeprint import params, seeds
from fakeprint.blocks import Rows
from fakeprint.data.arrays import load_index
from fakeprint.errors import InputError
from fakeprint.explain.maps import INSTALL
from fakeprint.features.files import load_features
from fakeprint.folds import group_folds
from fakeprint.models.classifiers.files import FittedClassifier
from fakeprint.models.classifiers.fitting import fit

COLUMNS = ["image_id", "split", "label", "suggested", "quality", "verdict"]


def suspects(
    split: str, image_ids: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """Images whose label disagrees with what the model says of them, the most suspect first.

    A label is suspect by confident learning (Northcutt, Jiang and Chuang 2021, cleanlab's `find_label_issues`).
    quality is cleanlab's score of a label, from 0 to 1: the probability that the model gives it.

    labels: class index of each, int (N,), −1 where unknown: these are left out. probabilities: float64 (N, C), from a
    model that has not learned from the image. Returns `COLUMNS`, verdict empty.
    Raises InputError if cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        raise InputError(f"explain: suspected labels need the package cleanlab: {INSTALL}") from None
    known = np.flatnonzero(labels >= 0)
    if len(known) == 0 or len(np.unique(labels[known])) < 2:
        return pd.DataFrame(columns=COLUMNS)
    present, given = np.unique(labels[known], return_inverse=True)
    # cleanlab wants every class among the labels
    among = probabilities[np.ix_(known, present)].clip(1e-12)
    among = among / among.sum(axis=1, keepdims=True)
    found = find_label_issues(given, among, return_indices_ranked_by="self_confidence", n_jobs=1)
    quality = get_label_quality_scores(given, among, method="self_confidence")
    rows = known[found]
    return pd.DataFrame(
        {
            "image_id": image_ids[rows],
            "split": split,
            "label": [classes[label] for label in labels[rows]],
            "suggested": [classes[best] for best in probabilities[rows].argmax(axis=1)],
            "quality": np.round(quality[found], 6),
            "verdict": "",
        },
        columns=COLUMNS,
    )


def suspects_of_train(
    name: str, fitted: FittedClassifier | None, settings: params.Params, classes: Sequence[str]
) -> pd.DataFrame:
    """`suspects` of train images, by fits of the classifier `name` without them, in `explain.folds` folds.

    Empty where the block requests no folds, or the model is no classifier (fitted: None).
    """
    block = settings.classifiers.get(name)
    if not settings.explain.folds or block is None or fitted is None:
        return pd.DataFrame()
    index, features = load_index("train"), load_features(list(block.features), "train")
    labels, groups = index["class"].to_numpy(), index["group"].to_numpy()
    seed = seeds.integer(settings.seed, f"explain/{name}")
    folds, workers = settings.explain.folds, settings.run.workers
    probabilities = out_of_fold(fitted, block, features, labels, groups, folds, seed, workers)
    return suspects("train", index["image_id"].to_numpy(dtype=object), labels, probabilities, classes)


def out_of_fold(
    fitted: FittedClassifier,
    settings: params.AnyClassifier,
    features: Rows,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: int,
    seed: int,
    workers: int | None,
) -> np.ndarray:
    """Probabilities of train images from fits of the same classifier that saw neither them nor their group.

    features: the train rows (N, D), without stored copies; labels: int64 (N,); groups: int64 (N,). Returns float64
    (N, C). A k-NN chooses its k on the fold that is left out, as the pipeline's own does on validation.
    Raises InputError if a fold leaves a class without images.
    """
    fold = group_folds(labels, groups, folds, np.random.default_rng(seed))
    classes = fitted.description["dataset"]["classes"]
    probabilities = np.empty((len(labels), len(classes)))
    for number in range(folds):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        model = fit(
            settings,
            features.at(inside),
            labels[inside],
            features.at(outside),
            labels[outside],
            seed,
            workers,
            groups[inside],
            classes,
        )
        part = FittedClassifier(model, fitted.description)
        probabilities[outside] = part.probabilities(features.at(outside))
    return probabilities
