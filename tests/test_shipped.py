"""The models that come with the package: whole, small, and answering as they did when their figures were measured."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakeprint.__main__ import main
from fakeprint.commands.predict import SHIPPED

ROOT = Path(__file__).parents[1]
SHARES = {
    "grainy.jpg": [0.0662, 0.5772, 0.0284, 0.0711, 0.2572],
    "grainy.png": [0.0876, 0.6547, 0.0288, 0.0599, 0.1689],
    "large.png": [0.067, 0.6879, 0.0278, 0.0607, 0.1566],
    "small.png": [0.0372, 0.3427, 0.0124, 0.0299, 0.5778],
    "smooth.png": [0.1203, 0.6931, 0.0306, 0.0639, 0.092],
}


def draw(folder: Path) -> None:
    """Pictures of three sizes and two formats, drawn here: a later change of decoding or scaling moves the answers."""
    y, x = np.mgrid[0:100, 0:100]
    waves = [np.sin(x / (3 + channel)) + np.cos(y / (5 - channel)) + np.sin((x + y) / 17) for channel in range(3)]
    smooth = 127.5 + 35 * np.stack(waves, axis=2)
    grain = np.random.default_rng(0).integers(-15, 16, (100, 100, 3))
    grainy = np.uint8(np.clip(smooth + grain, 0, 255))
    pictures = {"smooth.png": np.uint8(smooth), "grainy.png": grainy, "small.png": grainy[:60, :80]}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / name)
    Image.fromarray(grainy).resize((260, 180), Image.Resampling.LANCZOS).save(folder / "large.png")
    Image.fromarray(grainy).save(folder / "grainy.jpg", quality=80)


def test_predictions_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)  # no params.yaml and no models/ here: right after installation
    (tmp_path / "images").mkdir()
    draw(tmp_path / "images")
    monkeypatch.setattr(sys, "argv", ["fakeprint", "predict", "images", "--model", "unibuc", "--json"])
    main()
    said = json.loads(capsys.readouterr().out)
    assert said["data"] == "UniBuc deepfake classification 2025"
    shares = {Path(each["image"]).name: list(each["probabilities"].values()) for each in said["images"]}
    assert shares.keys() == SHARES.keys()
    for name, expected in SHARES.items():
        assert shares[name] == pytest.approx(expected, abs=1e-3), name


@pytest.mark.parametrize("folder", sorted(SHIPPED.iterdir()), ids=lambda folder: folder.name)
def test_a_shipped_model_is_small_and_has_a_card(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 20 * 10**6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Recipe", "## Figures", "## Limits"):
        assert heading in card


def test_shipped_files_are_in_the_package() -> None:
    """Setuptools takes along what pyproject.toml names; all of it must be matched."""
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["fakeprint"]
    matched = {file for pattern in patterns for file in SHIPPED.parent.glob(pattern)}
    assert {file for file in SHIPPED.rglob("*") if file.is_file()} <= matched
