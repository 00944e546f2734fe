"""A model of a stranger's folder, loaded only if everything that it names is in the folder; and its answers."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fakeprint.data.decode import Unreadable
from fakeprint.data.regular import read_regular
from fakeprint.errors import InputError, printable
from fakeprint.models.description import read_description
from fakeprint.params import NAME
from fakeprint.predict import LoadedModel, group_size, load_model, stacked
from fakeprint.progress import quiet
from fakeprint.verification.champion_card import calibration_of
from fakeprint.verification.images import Image

CHAMPION = "champion.json"
LONGEST = 2**20  # bytes of champion.json


def load_inside(folder: Path, device: str, workers: int | None) -> LoadedModel:
    """Load the model of a folder with champion.json, calibrated if it has a decision; nothing outside of it is read.

    The folder's links must have been refused before. It answers one black image here, since what cannot do so is no
    model.

    Raises:
        InputError: a file is missing or damaged, or names a model that is not in the folder; or torch finds no such
            device.
    """
    _require_inside(folder)
    try:
        calibration, model = calibration_of(folder), load_model(folder, workers, device=device)
        calibrated = replace(model, probabilities=lambda images: calibration(model.probabilities(images)))
        size, classes = model.dataset.image_size, len(model.dataset.classes)
        shape = calibrated.probabilities(np.zeros((1, size, size, 3), np.uint8)).shape
        if shape != (1, classes):
            raise ValueError(f"{shape[-1]} probabilities for {classes} classes")
        return calibrated
    except InputError:
        raise
    except Exception as error:  # whatever a damaged or hostile folder makes libraries raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{folder} does not hold a model that can be loaded ({printable(reason)})") from None


def champion_of(folder: Path) -> dict[str, Any]:
    """The content of champion.json: model, data (the title), predict. Raises InputError."""
    path = folder / CHAMPION
    try:
        content = json.loads(read_regular(path, LONGEST))
    except Unreadable as error:
        raise InputError(
            f"{path}: {error.reason}; lay the folder out as models/champion, with champion.json and the model"
        ) from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not valid JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("data"), str):
        raise InputError(f"{path} should be a JSON object with model, data and predict")
    return content


def _require_inside(folder: Path) -> None:
    """Raises InputError where champion.json, or an ensemble, names a model that is no folder's name."""
    waiting: list[tuple[Path, Any]] = [(folder / CHAMPION, champion_of(folder).get("model"))]
    seen: set[str] = set()
    while waiting:
        where, name = waiting.pop()
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(
                f"{where} names the model {printable(repr(name))}, which cannot be a folder in {folder}; "
                "nothing was loaded"
            )
        if name not in seen:
            members = read_description(folder / name).get("members", [])
            waiting += [(folder / name / "model.json", member) for member in members]
            seen.add(name)


def answers(model: LoadedModel, images: Iterable[Image]) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int64 (N,), and the model's probabilities, float64 (N, C), of the readable images.

    Images are gone through group by group: no more of them are in memory.
    """
    labels: list[int] = []
    probabilities = [np.empty((0, len(model.dataset.classes)))]
    group: list[np.ndarray] = []
    size = group_size(model)

    def answer() -> None:
        with quiet():
            probabilities.append(model.probabilities(stacked(group, model)))
        group.clear()

    for image in images:
        if isinstance(image.pixels, str):
            continue
        labels.append(image.label)
        group.append(model.crops(image.pixels))
        if len(group) == size:
            answer()
    if group:
        answer()
    return np.array(labels, dtype=np.int64), np.concatenate(probabilities)
