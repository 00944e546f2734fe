"""The models that come with the package: whole, small, and answering as they did when their figures were measured."""

import json
import re
import sys
from pathlib import Path

import pytest

from fakeprint.__main__ import main
from fakeprint.named_models import SHIPPED
from fakeprint.verification.card import read_card
from fakeprint.verification.drawn import pictures
from fakeprint.verification.files import compared

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(SHIPPED.iterdir())


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["fakeprint", *words])
    main()


@pytest.mark.slow
def test_predictions_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """A later change of decoding or scaling moves the answers."""
    monkeypatch.chdir(tmp_path)  # no params.yaml and no models/ here: right after installation
    (tmp_path / "images").mkdir()
    for name, content in pictures().items():
        (tmp_path / "images" / name).write_bytes(content)
    call(monkeypatch, "predict", "images", "--model", "unibuc", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["data"] == "UniBuc deepfake classification 2025"
    shares = {Path(each["image"]).name: list(each["probabilities"].values()) for each in said["images"]}
    sample = read_card(SHIPPED / "unibuc").sample
    assert sample is not None
    assert shares.keys() == sample.answers.keys()
    for name, expected in sample.answers.items():
        assert shares[name] == pytest.approx(expected, abs=1e-3), name


@pytest.mark.slow
def test_verify_needs_neither_data_nor_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "verify", "unibuc")  # exits with a code where anything differs
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "not checked: the figures on UniBuc deepfake classification 2025: give the images with --data PATH",
        "match",
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_shipped_model_is_small_and_has_a_card(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 20 * 10**6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Recipe", "## Figures", "## Limits"):
        assert heading in card
    recorded = read_card(folder)  # after an edit: `fakeprint verify NAME --record`
    assert [file for file in compared(folder, recorded.files, "card.json") if file.status != "match"] == []


def test_the_figures_that_the_text_gives_are_those_of_the_card() -> None:
    text = " ".join((SHIPPED / "unibuc/README.md").read_text(encoding="utf-8").split())
    measured = read_card(SHIPPED / "unibuc").measured
    assert measured is not None
    patterns = {
        "accuracy": r"accuracy ([\d.]+) %",
        "macro_f1": r"macro F1 ([\d.]+)",
        "log_loss": r"log loss ([\d.]+)",
        "ece": r"calibration error ([\d.]+)",
    }
    given = {name: re.search(pattern, text)[1] for name, pattern in patterns.items()}
    recalls = re.search(r"Recall of the classes 0 to 4: ([\d., ]+) %", text)[1].split(", ")
    given |= {f"recall of {label}": recall for label, recall in enumerate(recalls)}
    for name, figure in given.items():
        percent = 100 if name == "accuracy" or name.startswith("recall") else 1
        unit = 10.0 ** -len(figure.partition(".")[2]) / percent
        recorded = measured.figures[name]
        assert float(figure) / percent == pytest.approx(recorded.value, abs=0.5 * (unit + 10.0**-recorded.digits)), name


def test_shipped_files_are_in_the_package() -> None:
    """Setuptools takes along what pyproject.toml names; all of it must be matched."""
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["fakeprint"]
    matched = {file for pattern in patterns for file in SHIPPED.parent.glob(pattern)}
    assert {file for file in SHIPPED.rglob("*") if file.is_file()} <= matched
