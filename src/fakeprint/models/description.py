"""model.json, which every model's folder has: what kind of model it is and all that is needed to load it.

The folder of a champion has champion.json instead, which names the model among the folders in it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fakeprint.data.arrays import Dataset
from fakeprint.errors import InputError
from fakeprint.files import read_json, write_json
from fakeprint.params import Predict

Kind = Literal["network", "classifier", "ensemble"]
KINDS: dict[Kind, str] = {"network": "a network", "classifier": "a classifier", "ensemble": "an ensemble"}
RESTORE = "run `dvc repro`, or take it from the cache with `dvc checkout --force`"  # where a model's file is damaged


def write_description(folder: Path, kind: Kind, description: Mapping[str, Any]) -> None:
    """Write model.json into a model's folder. description: at least `name` and `dataset` (a `Dataset` as a dict)."""
    write_json(folder / "model.json", {"kind": kind, **description})


def dataset_of(folder: Path, description: Mapping[str, Any]) -> Dataset:
    """What the model in this folder learned from. Raises InputError where its model.json does not say so."""
    try:
        return Dataset(**description["dataset"])
    except (KeyError, TypeError):
        raise InputError(
            f"{folder / 'model.json'} does not describe what the model learned from: run `dvc repro`, or "
            f"`dvc checkout --force {folder}`"
        ) from None


def read_description(folder: Path, kind: Kind | None = None) -> dict[str, Any]:
    """Read a model's model.json.

    Raises InputError where the file is missing or no JSON, or describes a model of another kind than `kind` (None: of
    no known kind).
    """
    path = folder / "model.json"
    try:
        description = read_json(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run `dvc repro` or `dvc checkout {folder}`") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path} is not valid JSON: run `dvc checkout --force {folder}`") from None
    expected = [kind] if kind else list(KINDS)
    if not isinstance(description, dict) or description.get("kind") not in expected:
        wanted = " or ".join(KINDS[each] for each in expected)
        raise InputError(f"{path} does not describe {wanted}: run `dvc repro`, or `dvc checkout --force {folder}`")
    return description


@dataclass(frozen=True)
class Champion:
    """champion.json. model: its folder in the champion's. data: title of the data. predict: how the model answers."""

    model: str
    data: str
    predict: Predict


def read_champion(folder: Path) -> Champion | None:
    """Read a folder's champion.json, None if there is none. Raises InputError where it is damaged."""
    path = folder / "champion.json"
    if not path.exists():
        return None
    try:
        content = read_json(path)
        model, data = content["model"], content["data"]
        if not isinstance(model, str) or not isinstance(data, str) or model in ("", "..") or Path(model).name != model:
            raise ValueError  # no folder beside this one
        return Champion(model, data, Predict(**content.get("predict", {})))
    except (KeyError, TypeError, AttributeError, ValueError):  # no JSON; no object; no such key or value
        raise InputError(
            f"{path} should be a JSON object with model, data and predict: run `dvc checkout --force {folder}`"
        ) from None


def described_folder(folder: Path) -> Path:
    """The folder with model.json: of the model that champion.json names, or `folder` itself."""
    champion = read_champion(folder)
    return folder / champion.model if champion else folder
