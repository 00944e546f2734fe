"""The benchmark of foreign images: its rows by hand, and answers that are those of `fakeprint predict`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.foreign_images import DRAWN, draw_all, main, predictions, row_of
from fakeprint.predict import load_model
from tests.commands.test_predict import make_models, picture


def answer(first: float, kind: str | None = None) -> dict:
    """A prediction of two classes, a and b, with this probability of a."""
    found = {"name": "a" if first > 0.5 else "b", "probabilities": {"a": first, "b": 1 - first}}
    return found if kind is None else found | {"answer": kind}


def test_a_row_by_hand() -> None:
    row = row_of("photographs", [answer(0.6), answer(0.25), answer(0.9), answer(0.97)])
    assert (row.source, row.images, row.top, row.top_share) == ("photographs", 4, "a", 0.75)
    assert row.above == {"0.5": 1.0, "0.8": 0.5, "0.9": 0.25, "0.95": 0.25}
    assert row.quantiles["0.5"] == pytest.approx((0.75 + 0.9) / 2)
    assert row.answers is None


def test_answers_are_counted() -> None:
    row = row_of("photographs", [answer(0.9, "label"), answer(0.6, "unsure"), answer(0.7, "unsure")])
    assert row.answers == {"label": 1, "unsure": 2}


def test_drawn_pictures_are_the_same_again_and_differ(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = draw_all(tmp_path / "a", 2, 48), draw_all(tmp_path / "b", 2, 48)
    assert list(first.values()) == list(second.values()) == list(DRAWN)
    for one, other in zip(first, second, strict=True):
        images = [np.asarray(Image.open(folder / f"000{row}.png")) for folder in (one, other) for row in range(2)]
        assert images[0].shape == (48, 48, 3)
        assert np.array_equal(images[0], images[2])
        assert not np.array_equal(images[0], images[1])


@pytest.mark.slow
def test_the_answers_are_those_of_the_folder_s_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_models(tmp_path / "made", ["0", "1", "2"])
    (tmp_path / "images").mkdir()
    for channel in range(3):
        Image.fromarray(picture(channel, 40 + channel)).save(f"images/{channel}.png")
    (tmp_path / "work").mkdir()
    found = predictions(tmp_path / "made/champion", [tmp_path / "images"], tmp_path / "work")
    wanted = load_model(tmp_path / "made/lda").probabilities(np.stack([picture(each, 40 + each) for each in range(3)]))
    assert np.array([list(each["probabilities"].values()) for each in found]) == pytest.approx(wanted)


@pytest.mark.slow
def test_the_command_groups_by_source_and_writes_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_models(tmp_path / "made", ["0", "1", "2"])
    for folder, channel in (("red", 0), ("blue", 2), ("more_red", 0)):
        (tmp_path / folder).mkdir()
        for row in range(2):
            Image.fromarray(picture(channel, 60 + row)).save(tmp_path / folder / f"{row}.png")
    words = [
        "foreign_images",
        "made/champion",
        "red=red",
        "blue",
        "red=more_red",
        "--drawn",
        "1",
        "--json",
        "rows.json",
    ]
    monkeypatch.setattr(sys, "argv", words)
    main()
    assert "largest probability on foreign images" in capsys.readouterr().out
    rows = {row["source"]: row for row in json.loads(Path("rows.json").read_text())}
    assert {name: row["images"] for name, row in rows.items()} == {"red": 4, "blue": 2} | dict.fromkeys(DRAWN, 1)
    assert (rows["red"]["top"], rows["red"]["top_share"]) == ("generator 0", 1.0)
    monkeypatch.setattr(sys, "argv", ["foreign_images", "made/lda"])
    with pytest.raises(
        SystemExit, match=r"made/lda is neither a folder with champion.json nor the name of a shipped model$"
    ):
        main()
