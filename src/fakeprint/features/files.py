"""Features on disk: data/features/SET/{train,augmented,validation}.npy and features.json."""

from pathlib import Path
from typing import Any

from fakeprint.blocks import Rows
from fakeprint.errors import InputError
from fakeprint.files import read_json

FEATURES = Path("data/features")
PARTS = ("train", "augmented", "validation")  # what `fit` reads; `predict` extracts those of test itself


def load_features(names: list[str], part: str, folder: Path = FEATURES) -> Rows:
    """The concatenated sets of one part, (N, D), on disk. Raises InputError if a set has not been extracted."""
    return Rows((tuple(_existing(folder / name / f"{part}.npy") for name in names),))


def load_options(names: list[str], folder: Path = FEATURES) -> dict[str, dict[str, Any]]:
    """The options that each set was extracted with, by its name."""
    return {name: read_json(_existing(folder / name / "features.json"))["options"] for name in names}


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path} is missing: run `dvc repro features` first, with {path.parent.name} in run.features")
    return path
