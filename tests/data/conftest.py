import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakeprint.data import report


def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of `validate`, which take most of its time, are empty files."""
    for picture in ("class_counts", "samples", "channels", "sizes", "audits"):
        monkeypatch.setattr(report, picture, lambda *_: None)
    monkeypatch.setattr(report, "write_figure", lambda place, *_: place.touch())


@pytest.fixture
def draw() -> Callable[..., np.ndarray]:
    """A picture of its own for each number: smooth blobs and noise, uint8 (side, side, 3)."""

    def picture(number: int, side: int = 24) -> np.ndarray:
        rng = np.random.default_rng(number)
        rough = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((side, side))
        noisy = np.asarray(rough).astype(np.int16) + rng.integers(-8, 9, (side, side, 3))
        return np.clip(noisy, 0, 255).astype(np.uint8)

    return picture


@pytest.fixture
def save(draw: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """Write picture `number` to a path whose extension says how."""

    def write(path: Path, number: int, side: int = 24) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(number, side)).save(path)
        return path

    return write


@pytest.fixture
def csv_folder(tmp_path: Path, save: Callable[..., Path]) -> Path:
    """Two classes: 12 train images, 4 of validation, 3 of test."""
    root = tmp_path / "source"
    number = 0
    for split, count in (("train", 12), ("validation", 4), ("test", 3)):
        lines = ["image_id,label" if split != "test" else "image_id"]
        for place in range(count):
            save(root / split / f"{split}{place:02}.png", number)
            lines.append(f"{split}{place:02},{'ab'[place % 2]}" if split != "test" else f"{split}{place:02}")
            number += 1
        (root / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def pack(tmp_path: Path) -> Callable[[Path, str], Path]:
    """Put a folder into an archive of this suffix, under a folder of its own."""

    def packed(folder: Path, suffix: str) -> Path:
        target = tmp_path / f"packed{suffix}"
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        if suffix == ".zip":
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in files:
                    archive.write(path, f"top/{path.relative_to(folder)}")
                archive.writestr("__MACOSX/top/._train.csv", b"")
            return target
        with tarfile.open(target, "w:gz" if suffix.endswith("gz") else "w") as archive:
            for path in files:
                archive.add(path, f"./top/{path.relative_to(folder)}")
            junk = tarfile.TarInfo("./top/.DS_Store")
            archive.addfile(junk, io.BytesIO())
        return target

    return packed
