"""The stage `decide` on real files: certificate, figures, pictures and the champion's folder; with variants too."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakeprint.data.arrays import Dataset, save_dataset, save_index
from fakeprint.evaluation.predictions import CALIBRATED, Predictions, save_predictions
from fakeprint.files import read_json, write_json
from fakeprint.variants import VARIANTS
from fakeprint.verdict.calibration import Scaled
from fakeprint.verdict.decision import load_decision
from fakeprint.verification.card import read_card
from stages import decide
from tests.pipeline.clones import Clone
from tests.samples import DEMO, index_rows, predictions

pytestmark = pytest.mark.slow

CLASSES = ["fake", "real"]
FITTED = Scaled("temperature", [0.5, 0.5], [0.0, 0.0])


def split(images, seed, broken=0.0):
    """Calibrated predictions; of a share `broken` the label is the other one."""
    rng = np.random.default_rng(seed)
    score, labels = 1 - 0.5 * rng.random(images) ** 3, rng.integers(0, 2, images)
    named = np.where((rng.random(images) < score) & (rng.random(images) >= broken), labels, 1 - labels)
    return predictions(labels, np.where(np.eye(2)[named] == 1, score[:, None], 1 - score[:, None]))


def grouped(known, size):
    return replace(known, groups=np.arange(len(known.labels)) // size)


def unlabelled(known):
    return Predictions(**{**vars(known), "labels": np.full(len(known.labels), -1)})


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """What `compare` and `calibrate` leave; returns what edits params.yaml."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO, "params.yaml")
    clone = Clone(tmp_path)
    run = {"run.classifiers": ["lda", "knn"], "run.networks": [], "run.ensembles": [], "decide.max_error": 0.05}
    clone.edit("params.yaml", run | {"robustness.grid": {"noise": {"noise": 2}, "jpeg": {"jpeg": 50}}})
    save_dataset(Dataset(CLASSES, ["Fake", "Real"], 16, "squash", 10**6))
    validation, test = split(1500, 1), split(1500, 2)
    save_predictions("lda", CLASSES, {"validation": validation, "test": test}, CALIBRATED)
    save_predictions("lda", CLASSES, {"validation": validation, "test": test})
    save_index("validation", index_rows(validation.labels, CLASSES, "v"), CLASSES)
    np.save("data/arrays/validation.npy", np.zeros((1500, 16, 16, 3), np.uint8))
    for cell, broken in (("noise", 0.0), ("jpeg", 0.3)):
        save_predictions("lda", CLASSES, {"validation": split(1500, 3, broken)}, CALIBRATED / "degraded" / cell)
    write_json("metrics/leaderboard.json", {"champion": "lda"})
    write_json("models/calibration/lda.json", {"calibration": FITTED.as_json(), "on": "validation", "images": 1500})
    write_json("models/lda/model.json", {"kind": "classifier"})
    return clone


def test_the_champion_s_folder_is_complete_and_says_where_the_promise_holds(workspace, capsys):
    decide.main()
    assert read_json("models/champion/champion.json")["model"] == "lda"
    assert Path("models/champion/lda/model.json").exists()
    assert set(read_card(Path("models/champion")).files) == {"champion.json", "decision.json", "lda/model.json"}
    decision = load_decision(Path("models/champion"))
    assert decision.calibration == FITTED
    fitted_on = {"data": "demo, simulated generators", "split": "validation", "model": "lda"}
    assert decision.fitted_on == fitted_on | {"images": 1500, "groups": 1500}
    assert capsys.readouterr().out == decision.certificate.line + "\n"

    figures = read_json("metrics/decision.json")
    assert figures["certificate"]["threshold"] == decision.certificate.threshold > 0.5
    outcomes = {name: each["outcome"] for name, each in figures["images"].items()}
    assert outcomes == {"validation": "holds", "noise": "holds", "jpeg": "does not hold", "test": "holds"}
    assert "consistency" not in figures
    assert set(pd.read_csv("metrics/risk_coverage.csv")["images"]) == set(outcomes)
    assert {path.name for path in Path("reports/decision").iterdir()} == {
        *("risk_coverage.png", "images.png", "classes.png", "sets.png")
    }


def test_test_is_left_out_where_it_is_not_labelled_and_groups_are_the_unit(workspace):
    validation = grouped(split(1500, 1), 10)
    save_predictions("lda", CLASSES, {"validation": validation, "test": unlabelled(split(9, 2))}, CALIBRATED)
    workspace.edit("params.yaml", {"robustness.models": ["knn"], "decide.max_error": 0.01})
    decide.main()
    figures = read_json("metrics/decision.json")
    assert set(figures["images"]) == {"validation"}  # and no degradations of a champion that has none
    assert figures["certificate"]["images"] == 150
    assert figures["certificate"]["line"].startswith("not certifiable with 150 images: at most 1 % errors with 95 %")


def test_variants_are_requested_and_their_effect_is_printed(workspace, capsys):
    workspace.edit("params.yaml", {"decide.consistency": True})
    known = split(1500, 1)
    rng = np.random.default_rng(5)
    for number, cell in enumerate(VARIANTS):  # the last disagrees, mostly where the label is wrong
        differs = ~known.correct & (rng.random(1500) < 0.8) if number == 2 else np.zeros(1500, dtype=bool)
        probabilities = np.where(differs[:, None], known.probabilities[:, ::-1], known.probabilities)
        of_variant = replace(known, probabilities=probabilities)
        save_predictions("lda", CLASSES, {"validation": of_variant}, CALIBRATED / "degraded" / cell)
    decide.main()
    figures, decision = read_json("metrics/decision.json"), load_decision(Path("models/champion"))
    assert decision.consistency and decision.certificate.threshold < 0.6
    assert figures["consistency"]["low"] > 0
    assert figures["consistency"]["answered"] == decision.certificate.answered
    assert set(figures["images"]) == {"validation", "noise", "jpeg", "test"}

    workspace.edit("params.yaml", {"robustness.models": ["knn"]})
    with pytest.raises(SystemExit):
        decide.main()
    line = "by the champion, lda, which robustness.models leaves out: add it there, or set robustness.models to []\n"
    assert capsys.readouterr().err.endswith(line)


def test_without_a_leaderboard_it_says_what_to_run(workspace, capsys):
    Path("metrics/leaderboard.json").unlink()
    with pytest.raises(SystemExit):
        decide.main()
    assert capsys.readouterr().err == "error: metrics/leaderboard.json is missing: run `dvc repro compare` first\n"
