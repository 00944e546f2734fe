"""A folder in which `prepare`, `augment` and `features` have run, on images of coloured noise."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakeprint.data.arrays import Dataset, save_dataset, save_index
from stages import features
from tests.pipeline.clones import Clone
from tests.samples import DEMO

SIDE = 16
SIZES = {"train": 120, "validation": 80, "test": 8, "calibration": 0}
TINY = {
    "run.features": ["hsv_hist"],
    "run.classifiers": ["lda", "knn"],
    "run.networks": ["three_cnn"],
    "run.ensembles": [],
    "run.workers": 1,
    "tracking.enabled": False,
    "classifiers.lda.features": ["hsv_hist"],
    "classifiers.knn.features": ["hsv_hist"],
    "model.width": 0.125,
    "train.epochs": 2,
    "train.device": "cpu",
    "train.precision": "fp32",
    "train.augmented": True,
    "open_world.neighbours": 5,
}

Workspace = Callable[..., Path]


def coloured(kinds: np.ndarray, colours: list[tuple[int, int, int]], seed: int) -> np.ndarray:
    """Images of each kind's colour with noise, uint8 (N, 16, 16, 3)."""
    noise = np.random.default_rng(seed).normal(0, 20, (len(kinds), SIDE, SIDE, 3))
    return np.clip(np.array(colours)[kinds][:, None, None] + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make it the working folder; image i is of class `classes[i % len]` and of generator `generators[i % len]`."""

    def made(
        classes: list[str],
        of: list[str],
        colours: list[tuple[int, int, int]],
        generators: list[str | None] | None = None,
        **changes: Any,
    ) -> Path:
        monkeypatch.chdir(tmp_path)
        shutil.copy(DEMO, "params.yaml")
        Clone(tmp_path).edit("params.yaml", TINY | {key.replace("__", "."): value for key, value in changes.items()})
        save_dataset(Dataset(classes, [f"{name}!" for name in classes], SIDE, "squash", 10**6))
        for number, (split, count) in enumerate(SIZES.items()):
            kinds = np.arange(count) % len(of)
            np.save(f"data/arrays/{split}.npy", coloured(kinds, colours, number))
            ids = [f"{split}{row}" for row in range(count)]
            named = [generators[kind] if generators else None for kind in kinds]
            labels = [of[kind] for kind in kinds]
            rows = pd.DataFrame({"image_id": ids, "label": labels, "group": np.arange(count), "generator": named})
            save_index(split, rows, classes)
        train = np.load("data/arrays/train.npy")
        Path("data/augmented").mkdir()
        np.save("data/augmented/copies.npy", train[:, ::-1])
        index = pd.DataFrame({"class": pd.read_parquet("data/arrays/train.parquet")["class"]})
        index.assign(parent_row=np.arange(len(train))).to_parquet("data/augmented/copies.parquet")
        monkeypatch.setattr(sys, "argv", ["features", "hsv_hist"])
        features.main()
        return tmp_path

    return made
