"""The champion's card: what the pipeline writes into models/champion, when everything else is in it.

The figures are those of the folder's own answers, calibrated if it has a decision, and computed from stored
predictions. `fakeprint verify` computes them from the images, so that it also finds a difference between the pipeline
and what is served.
"""

import json
from pathlib import Path

import numpy as np

from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.data.decode import Unreadable
from fakeprint.data.regular import read_regular
from fakeprint.errors import InputError, printable
from fakeprint.evaluation.champion import CHAMPION, MODELS
from fakeprint.evaluation.predictions import load_predictions
from fakeprint.models.description import read_description
from fakeprint.models.ensembles.combinations import load_ensemble
from fakeprint.params import Params
from fakeprint.verdict.calibration import Calibration, Raw, load
from fakeprint.verification import figures
from fakeprint.verification.card import Card, Measured, source_of, write_card
from fakeprint.verification.images import SPLIT, ArrayImages, digest_of

DECISION = "decision.json"  # beside champion.json: how the model answers, with its calibration
LONGEST = 2**28  # bytes of it: a calibration may hold probabilities of all images that it was fitted on


def write_champion_card(name: str, settings: Params) -> Card:
    """Write card.json into models/champion, whose other files are complete.

    Args:
        name: the champion.
        settings: params.yaml.

    Raises:
        InputError: predictions or arrays are missing, or are of different images.
    """
    dataset = load_dataset()
    source = source_of(settings.seed, settings.data, settings.validate_, settings.prepare)
    images = ArrayImages(load_split(SPLIT), settings.title, source)
    folder = MODELS / CHAMPION
    probabilities = calibration_of(folder)(full_fit(name, dataset.classes, images.split.image_ids))
    digest, _ = digest_of(images, dataset)
    bins = settings.evaluate.calibration_bins
    measured = Measured(
        title=images.title,
        split=SPLIT,
        **vars(digest),
        source=source,
        bins=bins,
        fitted_on_them=is_fitted_on_validation(folder, name),
        figures=figures.rounded(figures.by_name(images.split.labels, probabilities, dataset.names, bins)),
    )
    return write_card(folder, name, measured)


def full_fit(name: str, classes: list[str], image_ids: np.ndarray) -> np.ndarray:
    """A model's own answers for the validation images, float64 (N, C), from stored predictions, not calibrated.

    Those of an ensemble in data/predictions are cross-fitted; its own are its members', combined as its folder says.

    Raises InputError where they are of other images than `image_ids`, str (N,).
    """
    if read_description(MODELS / name)["kind"] != "ensemble":
        return _stored(name, classes, image_ids)
    members, combination = load_ensemble(MODELS / name)
    return combination(np.stack([_stored(member, classes, image_ids) for member in members], axis=1))


def _stored(name: str, classes: list[str], image_ids: np.ndarray) -> np.ndarray:
    stored = load_predictions(name, classes, SPLIT)
    if not np.array_equal(stored.image_ids, image_ids):
        raise InputError(f"data/predictions/{name}.parquet is of other images than data/arrays: run `dvc repro`")
    return stored.probabilities


def calibration_of(folder: Path) -> Calibration:
    """The calibration in a folder's decision.json; none where that is missing. Raises InputError if it is damaged."""
    path = folder / DECISION
    if not path.exists():
        return Raw()
    try:
        return load(json.loads(read_regular(path, LONGEST))["calibration"])
    except Unreadable as error:
        raise InputError(f"{path} cannot be read: {error.reason}") from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))
        raise InputError(f"{path} holds no calibration of this version ({reason})") from None


def is_fitted_on_validation(folder: Path, name: str) -> bool:
    """Whether something in a champion's folder is fitted to validation images: calibration, or how models are combined.

    name: of the model, a folder in `folder`. A calibration that was fitted on a fold of train counts too.
    """
    if not isinstance(calibration_of(folder), Raw):
        return True
    description = read_description(folder / name)
    if description["kind"] != "ensemble":
        return False
    return description.get("method") != "average" or any(each != 1 for each in description.get("temperatures", []))
