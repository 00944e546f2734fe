from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakeprint import parallel, params
from fakeprint.augment import offline
from fakeprint.data.arrays import Split
from fakeprint.params import Augment
from tests.samples import DEMO

SETTINGS = params.load(DEMO).augment


def train(rows: int) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (rows, 16, 16, 3), dtype=np.uint8)
    ids, none = np.array([f"i{row}" for row in range(rows)], dtype=object), np.full(rows, None, dtype=object)
    return Split(images, ids, np.arange(rows) % 3, np.arange(rows), none)


def made(folder: Path, settings: Augment, rows: int = 12, workers: int = 1) -> tuple[np.ndarray, pd.DataFrame]:
    offline.make_copies(train(rows), settings, 5, workers, 16, folder)
    return np.load(folder / "copies.npy"), pd.read_parquet(folder / "copies.parquet")


def test_each_copy_knows_its_parent(tmp_path: Path) -> None:
    copies, index = made(tmp_path / "a", SETTINGS.model_copy(update={"copies": 2}))
    assert copies.shape == (24, 16, 16, 3) and copies.dtype == np.uint8
    assert list(index.columns) == ["image_id", "parent", "parent_row", "class", "transform"]
    assert index["image_id"].tolist() == [f"i{row}~{copy}" for copy in (1, 2) for row in range(12)]
    assert index["parent_row"].tolist() == [*range(12)] * 2
    assert index["parent"].tolist() == [f"i{row}" for row in range(12)] * 2
    assert index["class"].tolist() == [row % 3 for row in range(12)] * 2


def test_the_row_holds_the_plan(tmp_path: Path) -> None:
    off = {name: {**block, "enabled": False} for name, block in SETTINGS.transforms.model_dump().items()}
    flip = Augment.model_validate({"copies": 1, "transforms": {**off, "flip": {"enabled": True, "p": 0.5}}})
    copies, index = made(tmp_path / "a", flip)
    assert set(index["transform"]) == {"flip", "as it is"}
    for copy, original, done in zip(copies, train(12).images, index["transform"], strict=True):
        assert np.array_equal(copy, original[:, ::-1] if done == "flip" else original)


def test_copies_are_filled_as_requested(tmp_path: Path) -> None:
    off = {name: {**block, "enabled": False} for name, block in SETTINGS.transforms.model_dump().items()}
    shift = {**off, "shift": {"enabled": True, "p": 1.0, "fraction": [0.5, 0.5]}}
    for fill, filled in (("black", True), ("reflect", False)):
        requested = Augment.model_validate({"copies": 1, "fill": fill, "transforms": shift})
        copies, _ = made(tmp_path / fill, requested)
        assert (not copies[:, :8].any()) == filled


@pytest.mark.slow
def test_workers_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "CHUNK", 5)
    monkeypatch.setattr(parallel, "SERIAL", 0)
    made(tmp_path / "one", SETTINGS, workers=1)
    made(tmp_path / "two", SETTINGS, workers=2)
    for name in ("copies.npy", "copies.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_more_copies_do_not_change_the_first(tmp_path: Path) -> None:
    first, _ = made(tmp_path / "one", SETTINGS.model_copy(update={"copies": 1}))
    both, _ = made(tmp_path / "two", SETTINGS.model_copy(update={"copies": 2}))
    assert np.array_equal(both[:12], first)
    assert not np.array_equal(both[12:], first)


def test_no_copies(tmp_path: Path) -> None:
    copies, index = made(tmp_path / "none", SETTINGS.model_copy(update={"copies": 0}))
    assert copies.shape == (0, 16, 16, 3) and copies.dtype == np.uint8
    assert len(index) == 0 and index["parent_row"].dtype == np.int64
    assert [path.name for path in tmp_path.iterdir()] == ["none"]
