"""Features on disk: data/features/SET/{train,augmented,validation,test}.npy and features.json."""

from pathlib import Path
from typing import Any

import numpy as np

from fakeprint.errors import InputError
from fakeprint.files import read_json, write_json, written_folder

FEATURES = Path("data/features")
PARTS = ("train", "augmented", "validation", "test")


def save_features(name: str, options: dict[str, Any], parts: dict[str, np.ndarray], folder: Path = FEATURES) -> None:
    """Write one set whole: parts float32 (N, D) by name (PARTS), and features.json."""
    with written_folder(folder / name) as partial:
        for part, features in parts.items():
            np.save(partial / f"{part}.npy", features)
        write_json(partial / "features.json", {"set": name, "options": options, "size": parts["train"].shape[1]})


def load_features(names: list[str], part: str, folder: Path = FEATURES) -> np.ndarray:
    """The sets of one part side by side, float32 (N, D). Raises InputError where a set has not been extracted."""
    return np.concatenate([np.load(_existing(folder / name / f"{part}.npy"), mmap_mode="r") for name in names], axis=1)


def load_options(names: list[str], folder: Path = FEATURES) -> dict[str, dict[str, Any]]:
    """Set name → the options it was extracted with."""
    return {name: read_json(_existing(folder / name / "features.json"))["options"] for name in names}


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path} is missing: run `dvc repro features` first, with {path.parent.name} in run.features")
    return path
