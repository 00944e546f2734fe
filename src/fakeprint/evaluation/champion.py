"""The champion: the best model's folder, and its members' if it is an ensemble, copied so that it is complete."""

import shutil
from pathlib import Path
from typing import Any

from fakeprint.errors import InputError
from fakeprint.files import read_json, write_json, written_folder
from fakeprint.models.description import read_champion, read_description
from fakeprint.params import Predict

MODELS = Path("models")
CHAMPION = "champion"  # its folder among the models


def copy_out(
    name: str, title: str, predict: Predict, models: Path = MODELS, decision: dict[str, Any] | None = None
) -> None:
    """Copy models/NAME and its members into models/champion and write champion.json there, and decision.json if given.

    champion.json names the model and the title of the data, and holds the block `predict`
    with which the model became champion, without crops where it takes images as a whole. Raises InputError where a
    folder is missing.
    """
    resize = read_description(models / name).get("dataset", {}).get("resize")
    without = set() if resize == "native" else {"crops", "crop_choice"}
    with written_folder(models / CHAMPION) as partial:
        for folder in _with_members(name, models):
            shutil.copytree(folder, partial / folder.name)
        block = predict.model_dump(exclude=without)
        write_json(partial / "champion.json", {"model": name, "data": title, "predict": block})
        if decision is not None:
            write_json(partial / "decision.json", decision)


def _with_members(name: str, models: Path) -> list[Path]:
    folder = models / name
    members = read_description(folder).get("members", [])
    return [folder, *(below for member in members for below in _with_members(member, models))]


def champion_of(leaderboard: Path) -> str:
    """The name of the best model, from metrics/leaderboard.json. Raises InputError where `compare` has not run."""
    if not leaderboard.exists():
        raise InputError(f"{leaderboard} is missing: run `dvc repro compare` first")
    return str(read_json(leaderboard)["champion"])


def champion_name(models: Path = MODELS) -> str:
    """The name of the model in models/champion. Raises InputError where `decide` has not run."""
    champion = read_champion(models / CHAMPION)
    if champion is None:
        raise InputError(
            f"{models / CHAMPION / 'champion.json'} is missing: there is no champion yet, run `dvc repro` (or "
            "`make repro`) first"
        )
    return champion.model
