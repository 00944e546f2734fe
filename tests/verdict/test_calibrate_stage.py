"""The stage `calibrate` on real files: on validation and on a fold of train, clean and degraded, with test labelled."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from fakeprint.data.arrays import Dataset, save_dataset
from fakeprint.evaluation.predictions import CALIBRATED, DEGRADED, load_predictions, save_predictions
from fakeprint.files import read_json
from fakeprint.verdict import calibration
from stages import calibrate
from tests.pipeline.clones import Clone
from tests.samples import DEMO, predictions

pytestmark = pytest.mark.slow

CLASSES = ["fake", "real"]
SIZES = {"validation": 200, "test": 100, "calibration": 300}


def split(images, seed, temperature=3.0, flipped=0.0):
    """Overconfident predictions, some with the wrong label."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((images, 2))
    labels = (rng.random(images) > softmax(logits, axis=1)[:, 0]).astype(int)
    probabilities = softmax(temperature * logits, axis=1)
    wrong = rng.random(images) < flipped
    probabilities[wrong] = probabilities[wrong, ::-1]
    return predictions(labels, probabilities)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Two models' predictions where `predict` and `predict_degraded` leave them; returns a function to edit params."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO, "params.yaml")
    clone = Clone(tmp_path)
    grid = {"noise": {"noise": 2}, "jpeg": {"jpeg": 50}}
    run = {"run.classifiers": ["lda", "knn"], "run.networks": [], "run.ensembles": [], "robustness.grid": grid}
    clone.edit("params.yaml", run | {"submit.model": "lda"})
    save_dataset(Dataset(CLASSES, ["Fake", "Real"], 16, "squash", 10**6))
    for number, name in enumerate(["lda", "knn"]):
        splits = {part: split(images, 10 * number + place) for place, (part, images) in enumerate(SIZES.items())}
        save_predictions(name, CLASSES, splits)
        for cell, flipped in (("noise", 0.1), ("jpeg", 0.4)):
            degraded = {"validation": split(200, 10 * number, flipped=flipped)}
            save_predictions(name, CLASSES, degraded, DEGRADED / cell)
    return clone


def test_calibrated_files_figures_and_picture(workspace):
    calibrate.main()
    figures = read_json("metrics/calibration.json")
    assert figures["method"] == "temperature" and set(figures["models"]) == {"lda", "knn"}
    lda = figures["models"]["lda"]
    assert set(lda) == {"clean", "jpeg", "test"}  # jpeg costs most
    for images in lda.values():
        assert images["after"]["log_loss"] < images["before"]["log_loss"]
        assert images["after"]["ece"] < images["before"]["ece"]
        low, high = images["after"]["intervals"]["brier"]
        assert low < images["after"]["brier"] < high
    assert lda["clean"]["after"]["ece"] < lda["jpeg"]["after"]["ece"]
    table = pd.read_csv("metrics/calibration.csv")
    assert len(table) == 2 * 3 * 2 and set(table["images"]) == {"clean", "jpeg", "test"}
    assert Path("reports/calibration/reliability.png").stat().st_size > 10_000


def test_test_images_get_the_whole_fit_and_validation_images_cross_fitted_ones(workspace):
    calibrate.main()
    fitted = read_json("models/calibration/lda.json")
    assert (fitted["on"], fitted["images"], fitted["calibration"]["method"]) == ("validation", 200, "temperature")
    assert 1 / fitted["calibration"]["scale"][0] == pytest.approx(3, rel=0.25)
    whole = calibration.load(fitted["calibration"])
    raw, calibrated = (load_predictions("lda", CLASSES, "test", *folder) for folder in ((), (CALIBRATED,)))
    np.testing.assert_allclose(whole(raw.probabilities), calibrated.probabilities, atol=1e-12)
    raw, calibrated = (load_predictions("lda", CLASSES, "validation", *folder) for folder in ((), (CALIBRATED,)))
    difference = np.abs(whole(raw.probabilities) - calibrated.probabilities).max()
    assert 1e-5 < difference < 0.1
    degraded = load_predictions("lda", CLASSES, "validation", CALIBRATED / "degraded/jpeg")
    before = load_predictions("lda", CLASSES, "validation", DEGRADED / "jpeg")
    clean_rows = (raw.probabilities == before.probabilities).all(axis=1)  # not degraded: the same calibration
    assert clean_rows.sum() > 50
    np.testing.assert_array_equal(degraded.probabilities[clean_rows], calibrated.probabilities[clean_rows])


def test_on_a_fold_validation_takes_no_part(workspace):
    workspace.edit("params.yaml", {"calibrate.on": "fold"})
    calibrate.main()
    fitted = read_json("models/calibration/lda.json")
    assert (fitted["on"], fitted["images"]) == ("fold", 300)
    whole = calibration.load(fitted["calibration"])
    for part in ("validation", "test"):
        raw, calibrated = (load_predictions("lda", CLASSES, part, *folder) for folder in ((), (CALIBRATED,)))
        np.testing.assert_allclose(whole(raw.probabilities), calibrated.probabilities, atol=1e-12)
    splits = {part: load_predictions("lda", CLASSES, part) for part in SIZES}
    splits["validation"] = replace(splits["validation"], labels=np.zeros(200, dtype=np.int64))
    save_predictions("lda", CLASSES, splits)
    calibrate.main()
    assert read_json("models/calibration/lda.json") == fitted


def test_without_calibration_probabilities_stay_as_they_are(workspace):
    workspace.edit("params.yaml", {"calibrate.method": "none"})
    calibrate.main()
    raw, calibrated = (load_predictions("knn", CLASSES, "validation", *folder) for folder in ((), (CALIBRATED,)))
    np.testing.assert_array_equal(raw.probabilities, calibrated.probabilities)
    clean = read_json("metrics/calibration.json")["models"]["knn"]["clean"]
    assert clean["before"] == clean["after"]


def test_too_few_groups_are_a_warning_and_a_missing_class_an_error(workspace, capsys):
    few = split(200, 1)
    few.groups[few.labels == 1] = 0
    save_predictions("lda", CLASSES, {"validation": few, "test": split(100, 2)})
    calibrate.main()
    printed = capsys.readouterr().err
    assert printed.startswith("warning: lda: probabilities are not calibrated: one class has only 1 group(s)")
    assert "knn" not in printed
    assert read_json("models/calibration/lda.json")["calibration"] == {"method": "none"}

    few.labels[:] = 0
    few.groups[:] = np.arange(200)
    save_predictions("lda", CLASSES, {"validation": few, "test": split(100, 2)})
    workspace.edit("params.yaml", {"calibrate.method": "bias"})
    with pytest.raises(SystemExit) as stopped:
        calibrate.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.strip() == (
        "error: calibrate.method: bias needs images of every class, and there are none of Real; use temperature"
    )
