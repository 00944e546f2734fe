"""A champion that tells colours apart, its images as a source, and its card."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from fakeprint.__main__ import main
from tests.commands.test_predict import make_models, picture

CLASSES = ["0", "1", "2"]
VALIDATION = 9  # images


@dataclass(frozen=True)
class Said:
    """How a command ended: exit code, lines of stdout and stderr."""

    code: int
    out: list[str]
    err: list[str]

    def line(self, start: str) -> str:
        """The one line of stdout that starts like this, its blanks made single."""
        (found,) = [" ".join(line.split()) for line in self.out if " ".join(line.split()).startswith(start)]
        return found


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run `fakeprint verify` with these words."""

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["fakeprint", "verify", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        printed = capsys.readouterr()
        return Said(code, printed.out.splitlines(), printed.err.splitlines())

    return call


def draw_source(root: Path) -> None:
    """The csv layout: 12 train and 9 validation images; the last two of these have another's label."""
    for split, count, first in (("train", 12, 100), ("validation", VALIDATION, 200)):
        (root / split).mkdir(parents=True)
        rows = [(f"{split[0]}{row}", str(row % 3)) for row in range(count)]
        for row, (name, label) in enumerate(rows):
            wrong = split == "validation" and row >= count - 2
            Image.fromarray(picture(int(label) + wrong, first + row)).save(root / split / f"{name}.png")
        pd.DataFrame(rows, columns=["image_id", "label"]).to_csv(root / f"{split}.csv", index=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source that has a validation split."""
    draw_source(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def champion(tmp_path: Path, source: Path, verify: Callable[..., Said]) -> Path:
    """A champion's folder with its card, recorded on `source`."""
    make_models(tmp_path / "made", CLASSES)
    folder = (tmp_path / "made" / "champion").rename(tmp_path / "champion")
    said = verify(folder, "--data", source, "--record")
    assert (said.code, said.out) == (0, [f"{folder}/card.json: 3 files; figures measured on 9 images"])
    return folder
