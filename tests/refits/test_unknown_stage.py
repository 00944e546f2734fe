"""The stage `unknown`: images that belong to no class, scored by every model beside the validation images."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.evaluation.predictions import CALIBRATED, load_predictions
from fakeprint.files import read_json
from fakeprint.predict import load_model
from fakeprint.verdict.calibration import load
from stages import calibrate, ensemble, fit, predict, unknown
from tests.refits.conftest import Workspace, coloured
from tests.samples import predictions

CLASSES = ["a", "b", "c"]
COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
Photos = Callable[..., Path]


def call(monkeypatch: pytest.MonkeyPatch, stage: object, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["stage", *words])
    stage.main()  # type: ignore[attr-defined]


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Six grey-blue images in a folder of folders, larger than the arrays, and what is put beside them."""

    def made(**beside: bytes) -> Path:
        folder = tmp_path / "photos"
        (folder / "more").mkdir(parents=True)
        for number, pixels in enumerate(coloured(np.zeros(6, int), [(120, 120, 130)], 9)):
            picture = Image.fromarray(pixels).resize((48, 32))
            picture.save(folder / ("more" if number % 2 else ".") / f"{number}.png")
        for name, content in beside.items():
            (folder / name.replace("_", ".")).write_bytes(content)
        return folder

    return made


def name_photos(path: Path) -> None:
    """Set `data.unknown` in params.yaml."""
    file, key = Path("params.yaml"), "  unknown: {} #"
    text = file.read_text(encoding="utf-8")
    assert key in text
    file.write_text(text.replace(key, f"  unknown: {{photos: {path}}} #"), encoding="utf-8")


def prepared(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """`fit` to `calibrate` have run."""
    changes = {"run__networks": [], "run__ensembles": ["average"], "ensembles__average__members": ["lda", "knn"]}
    workspace(
        CLASSES,
        CLASSES,
        COLOURS,
        **changes,
        classifiers__knn__k=[5, 7],
        robustness__grid={},
    )
    name_photos(path)
    for name in ("lda", "knn"):
        call(monkeypatch, fit, name)
        call(monkeypatch, predict, name)
    call(monkeypatch, ensemble, "average")
    Path("data/degraded").mkdir()
    call(monkeypatch, calibrate)


@pytest.mark.slow
def test_every_model_answers(
    workspace: Workspace, photos: Photos, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos(broken_png=b"\x89PNG no image", notes_txt=b"not looked at")
    prepared(workspace, monkeypatch, folder)
    call(monkeypatch, unknown, "photos")
    assert "photos: 1 file(s) set aside, see reports/unknown/photos/set_aside.csv" in capsys.readouterr().out
    set_aside = pd.read_csv("reports/unknown/photos/set_aside.csv")
    assert set_aside["path"].tolist() == ["broken.png"] and set_aside["reason"].notna().all()
    figures = read_json("metrics/unknown/photos.json")
    assert list(figures) == ["lda", "knn", "average"]
    known = load_predictions("lda", CLASSES, "validation", CALIBRATED)
    stored = pd.read_parquet("data/unknown/photos.parquet")
    assert stored["path"].tolist() == ["0.png", "2.png", "4.png", "more/1.png", "more/3.png", "more/5.png"]
    for name, content in figures.items():
        assert (content["known_images"], content["unknown_images"]) == (80, 6)
        assert sum(content["taken_for"].values()) == pytest.approx(1)
        probabilities = stored[[f"{name} | {label}" for label in CLASSES]].to_numpy()
        assert content["answered"]["0.9"]["unknown"]["share"] == np.mean(probabilities.max(axis=1) >= 0.9)
    assert figures["lda"]["answered"]["0.5"]["known"]["share"] == np.mean(known.probabilities.max(axis=1) >= 0.5)
    table = pd.read_csv("metrics/unknown/photos.csv")
    assert len(table) == 3 * 5 and table["answered_unknown"].between(0, 1).all()
    assert Image.open("reports/unknown/photos/distributions.png").size > (300, 200)


@pytest.mark.slow
def test_they_are_decoded_and_answered_as_predict_does(
    workspace: Workspace, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fakeprint.predict import predict_files

    folder = photos()
    prepared(workspace, monkeypatch, folder)
    call(monkeypatch, unknown, "photos")
    stored = pd.read_parquet("data/unknown/photos.parquet")
    for name in ("lda", "average"):
        (found,) = predict_files(load_model(Path("models") / name, workers=1), [(folder / "more/3.png", None)])
        calibration = load(read_json(f"models/calibration/{name}.json")["calibration"])
        expected = calibration(found.probabilities)[0]
        row = stored[stored["path"] == "more/3.png"][[f"{name} | {label}" for label in CLASSES]].to_numpy()[0]
        assert row == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zip", "gztar"])
def test_an_archive(workspace: Workspace, photos: Photos, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    folder = photos()
    prepared(workspace, monkeypatch, Path(shutil.make_archive(str(folder.parent / "packed"), form, folder)))
    call(monkeypatch, unknown, "photos")
    assert len(pd.read_parquet("data/unknown/photos.parquet")) == 6


def test_figures_by_hand() -> None:
    from fakeprint.verdict.unknown_images import Answers, figures_of

    known = predictions(np.array([0, 0, 1, 1]), np.array([[0.96, 0.04], [0.8, 0.2], [0.1, 0.9], [0.6, 0.4]]))
    found = figures_of(Answers(known, np.array([[0.7, 0.3], [0.05, 0.95]])), ["x", "y"], 7, 0.95)
    assert found["auroc"] == (3 + 1) / 8  # 0.7 is below three known ones, 0.95 below one
    assert found["oscr"] == (3 + 1) / 8  # the misclassified image is above neither
    assert found["answered"]["0.9"]["known"]["share"] == 0.5
    assert found["answered"]["0.9"]["unknown"]["share"] == 0.5
    assert found["answered"]["0.99"]["unknown"]["share"] == 0
    assert found["taken_for"] == {"x": 0.5, "y": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "error: data.unknown.photos: PATH has no images (looked for "),
        (
            {"a_png": b"no image", "b_png": b""},
            "error: data.unknown.photos: none of the 2 images of PATH can be decoded (not an image)",
        ),
        (None, "error: data.unknown.photos: PATH does not exist"),
    ],
)
def test_nothing_to_score(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: dict[str, bytes] | None,
    message: str,
) -> None:
    folder = tmp_path / "photos"
    workspace(CLASSES, CLASSES, COLOURS)
    name_photos(folder)
    if content is not None:
        folder.mkdir()
        for name, each in content.items():
            (folder / name.replace("_", ".")).write_bytes(each)
    with pytest.raises(SystemExit, match="1"):
        call(monkeypatch, unknown, "photos")
    assert capsys.readouterr().err.splitlines()[-1].startswith(message.replace("PATH", str(folder)))


def test_a_name_that_cannot_be_one(tmp_path: Path) -> None:
    from tests.params.test_loading import changed

    with pytest.raises(InputError, match=r"data\.unknown: 'My photos' is not a valid name; use a-z, 0-9 and '_'"):
        params.parse(changed(data__unknown={"My photos": "somewhere"}))


def test_a_share_of_grouped_images_has_an_interval_over_groups() -> None:
    from fakeprint.verdict.unknown_images import Answers, figures_of

    sure = np.repeat(np.arange(20) < 5, 50)
    known = predictions(np.zeros(1000, int), np.where(sure, 0.95, 0.6)[:, None] * [1, -1] + [0, 1])
    grouped = replace(known, groups=np.repeat(np.arange(20), 50))
    shares = [figures_of(Answers(each, np.array([[0.7, 0.3]])), ["x", "y"], 7, 0.95) for each in (known, grouped)]
    of_images, of_groups = (each["answered"]["0.9"]["known"] for each in shares)
    assert of_images["share"] == of_groups["share"] == 0.25
    assert of_images["high"] - of_images["low"] == pytest.approx(0.054, abs=0.001)
    assert of_groups["high"] - of_groups["low"] == pytest.approx(0.386, abs=0.001)
