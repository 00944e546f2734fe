"""Features on disk: data/features/SET/{train,augmented,validation,test}.npy and features.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fakeprint.blocks import Rows, write_rows
from fakeprint.errors import InputError
from fakeprint.features import extract_blocks, size
from fakeprint.files import read_json, write_json, written_folder

FEATURES = Path("data/features")
PARTS = ("train", "augmented", "validation", "test")


def write_features(
    name: str, options: dict[str, Any], parts: Mapping[str, np.ndarray], workers: int | None, folder: Path = FEATURES
) -> None:
    """Extract one set of all parts and write it whole: PART.npy, float32 (N, D), and features.json.

    Each batch is written as it comes, so that no part is ever in memory. parts: name (PARTS) → images uint8
    (N, H, W, 3), memory maps of one size. workers: None = all cores; changes no byte.
    """
    numbers = size(name, options, parts["train"].shape[1:])
    with written_folder(folder / name) as partial:
        for part, images in parts.items():
            blocks = extract_blocks({name: options}, images, workers, f"{name} of {part}")
            write_rows(partial / f"{part}.npy", (len(images), numbers), blocks)
        write_json(partial / "features.json", {"set": name, "options": options, "size": numbers})


def load_features(names: list[str], part: str, folder: Path = FEATURES) -> Rows:
    """The sets of one part side by side, (N, D), on disk. Raises InputError where a set has not been extracted."""
    return Rows((tuple(_existing(folder / name / f"{part}.npy") for name in names),))


def load_options(names: list[str], folder: Path = FEATURES) -> dict[str, dict[str, Any]]:
    """Set name → the options it was extracted with."""
    return {name: read_json(_existing(folder / name / "features.json"))["options"] for name in names}


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path} is missing: run `dvc repro features` first, with {path.parent.name} in run.features")
    return path
