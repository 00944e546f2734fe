"""The card that the pipeline writes: its figures are those of the folder's own answers, also for fitted ensembles."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakeprint import params
from fakeprint.data.arrays import load_dataset, save_dataset, save_index
from fakeprint.errors import InputError
from fakeprint.evaluation.champion import copy_out
from fakeprint.evaluation.predictions import save_predictions
from fakeprint.files import write_json
from fakeprint.models.ensembles.combinations import Stacked, WeightedAverage, save_ensemble
from fakeprint.predict import load_model
from fakeprint.verdict.calibration import Scaled
from fakeprint.verification.champion_card import full_fit, is_fitted_on_validation, write_champion_card
from fakeprint.verification.figures import agrees, by_name
from tests.commands.test_predict import make_models, picture
from tests.samples import DEMO, index_rows, predictions

CLASSES = ["0", "1", "2"]
COUNT = 15


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two base models, a stacking of them, data/arrays and data/predictions, as after `predict` and `ensemble`."""
    monkeypatch.chdir(tmp_path)
    make_models(tmp_path / "models", CLASSES)
    shutil.copytree("models/lda", "models/again")
    model = load_model(Path("models/lda"))
    labels = np.arange(COUNT) % 3
    images = np.stack([picture(int(label) + (row == 4), 70 + row) for row, label in enumerate(labels)])
    Path("data/arrays").mkdir(parents=True)
    save_dataset(model.dataset)
    np.save("data/arrays/validation.npy", images)
    save_index("validation", index_rows(labels, CLASSES, "v"), CLASSES)
    members = model.probabilities(images)
    ensemble: dict[str, Any] = {"name": "stacking", "method": "stacking", "members": ["lda", "again"]}
    Path("models/stacking").mkdir()
    slopes = np.hstack([np.eye(3), np.zeros((3, 3))]).tolist()
    described = ensemble | {"dataset": asdict(model.dataset)}
    save_ensemble(Path("models/stacking"), described, Stacked(slopes, [0.0, 0.5, 0.0]))
    cross_fitted = np.full_like(members, 1 / 3)  # whatever the folds gave: not what the folder answers
    for name, values in {"lda": members, "again": members, "stacking": cross_fitted}.items():
        splits = {"validation": predictions(labels, values), "test": predictions(labels[:0], values[:0])}
        save_predictions(name, CLASSES, splits)
    return tmp_path


@pytest.mark.parametrize(("name", "fitted"), [("lda", False), ("stacking", True)])
def test_verify_finds_the_pipeline_s_figures(
    repository: Path, verify: Callable[..., Any], name: str, fitted: bool
) -> None:
    settings = params.load(DEMO)
    copy_out(name, settings.title, settings.predict)
    card = write_champion_card(name, settings)
    said = verify("models/champion")
    assert (said.code, said.err, said.out[-1]) == (0, [], "match")
    assert said.line("match images") == "match images the 15 recorded images"
    assert card.measured is not None
    assert card.measured.fitted_on_them is fitted
    notes = [line for line in said.out if line.split()[0] == "note"]
    assert bool(notes) is fitted
    images = np.load("data/arrays/validation.npy")
    own = load_model(Path("models/champion")).probabilities(images)
    wanted = by_name(np.arange(COUNT) % 3, own, load_dataset().names, settings.evaluate.calibration_bins)
    assert wanted["accuracy"] == pytest.approx(14 / 15)
    assert {key: figure.value for key, figure in card.measured.figures.items()} == pytest.approx(wanted, abs=6e-5)


def test_the_table_of_an_ensemble_s_degraded_images_may_be_cross_fitted(
    repository: Path, verify: Callable[..., Any]
) -> None:
    """Its accuracy on clean images is not that of the folder's own answers, which saw these images."""
    settings, table = params.load(DEMO), repository / "robustness.csv"
    copy_out("stacking", settings.title, settings.predict)
    write_champion_card("stacking", settings)  # 14 of 15 are right
    rows = "model,cell,accuracy,accuracy_low,accuracy_high\nstacking,clean,{},{},{}\nstacking,jpeg_50,0.5,0.4,0.6\n"
    table.write_text(rows.format(0.8, 0.55, 0.93))
    (line,) = verify("models/champion", "--record", "--degraded", table).err
    assert "stacking has an accuracy of 0.8000 on clean images, and the card says 0.9333: " in line
    table.write_text(rows.format(0.8, 0.55, 0.95))
    assert verify("models/champion", "--record", "--degraded", table).code == 0
    assert "jpeg_50" in Path("models/champion/card.json").read_text()


def test_the_card_of_the_same_model_has_the_same_bytes(repository: Path) -> None:
    settings, content = params.load(DEMO), []
    for _ in range(2):
        copy_out("lda", settings.title, settings.predict)
        write_champion_card("lda", settings)
        content.append(Path("models/champion/card.json").read_bytes())
    assert content[0] == content[1]


@pytest.mark.slow
def test_the_calibration_of_a_decision_is_part_of_the_answers(repository: Path, verify: Callable[..., Any]) -> None:
    settings, images = params.load(DEMO), np.load("data/arrays/validation.npy")
    raw = load_model(Path("models/lda")).probabilities(images)
    calibration = Scaled("bias", [0.4] * 3, [0.0, 0.0, 2.0])
    copy_out("lda", settings.title, settings.predict)
    write_json("models/champion/decision.json", {"calibration": calibration.as_json()})
    card = write_champion_card("lda", settings)
    assert card.measured is not None
    assert card.measured.fitted_on_them
    wanted = by_name(np.arange(COUNT) % 3, calibration(raw), load_dataset().names, card.measured.bins)
    assert {key: figure.value for key, figure in card.measured.figures.items()} == pytest.approx(wanted, abs=6e-5)
    assert card.measured.figures["log_loss"].value != pytest.approx(
        by_name(np.arange(COUNT) % 3, raw, load_dataset().names, 15)["log_loss"], abs=1e-3
    )
    said = verify("models/champion")
    assert (said.code, said.out[-1]) == (0, "match")
    assert said.line("note").endswith("may be fitted on these images: figures may be too good")
    for text, reason in (("{}", "KeyError: 'calibration'"), ('{"calibration": 3}', "TypeError: "), ("{", "JSON")):
        Path("models/champion/decision.json").write_text(text)
        line = verify("models/champion").line("differs figures")
        assert "decision.json holds no calibration of this version (" in line
        assert reason in line
    write_json("models/champion/decision.json", {"calibration": Scaled("bias", [1.0] * 4, [0.0] * 4).as_json()})
    line = verify("models/champion").line("differs figures")
    assert "models/champion does not hold a model that can be loaded (ValueError: " in line


def test_arrays_of_other_images_say_so(repository: Path, verify: Callable[..., Any]) -> None:
    settings = params.load(DEMO)
    copy_out("lda", settings.title, settings.predict)
    write_champion_card("lda", settings)
    images = np.load("data/arrays/validation.npy")
    images[0, 0, 0, 0] ^= 1
    np.save("data/arrays/validation.npy", images)
    said = verify("models/champion")
    assert said.line("differs images") == "differs images 15 images with other pixels than the recorded ones"
    assert said.code == 1
    description = json.loads(Path("data/arrays/dataset.json").read_text()) | {"image_size": 32}
    Path("data/arrays/dataset.json").write_text(json.dumps(description))
    (line,) = verify("models/champion").err
    assert line.endswith(
        "was prepared with other image size than the model's: run `dvc repro`, or give the images with --data PATH"
    )


def test_predictions_of_other_images_are_refused(repository: Path) -> None:
    with pytest.raises(InputError, match=r"data/predictions/lda\.parquet is of other images than data/arrays: run"):
        full_fit("lda", CLASSES, np.array(["x"] * COUNT, dtype=object))


def test_which_ensembles_are_fitted_on_validation(repository: Path) -> None:
    dataset = json.loads(Path("data/arrays/dataset.json").read_text())
    for name, temperatures, fitted in (("plain", [1.0, 1.0], False), ("calibrated", [1.0, 2.0], True)):
        Path("models/champion", name).mkdir(parents=True)
        described = {"name": name, "method": "average", "members": ["lda", "again"], "dataset": dataset}
        save_ensemble(Path("models/champion", name), described, WeightedAverage([0.5, 0.5], temperatures))
        assert is_fitted_on_validation(Path("models/champion"), name) is fitted


@pytest.mark.parametrize(
    ("recorded", "measured", "digits", "same"),
    [
        (0.945, 0.9448, 3, True),
        (0.945, 0.9445, 3, True),
        (0.945, 0.94449, 3, True),  # what float32 may differ by
        (0.945, 0.9444, 3, False),
        (0.9448, 0.944, 4, False),
        (1.0, 0.6, 0, True),
    ],
)
def test_to_the_digit_that_the_card_states(recorded: float, measured: float, digits: int, same: bool) -> None:
    assert agrees(recorded, measured, digits) is same
