"""`benchmarks.ensembles`: stacking with other settings on stored predictions."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ensembles
from fakeprint.evaluation.predictions import DEGRADED, MEMBERS, save_predictions
from tests.pipeline.clones import Clone
from tests.samples import DEMO, predictions

CLASSES = ["a", "b"]
LABELS = np.arange(80) % 2
COPIES = {"jpeg_60": {"jpeg": 60}, "chain": {"rescale": 0.75, "jpeg": 70}}


def probabilities(rng, right):
    """Predictions that are right with this probability."""
    sure = np.where(rng.random(len(LABELS)) < right, 0.8, 0.2)
    of_b = np.where(LABELS == 1, sure, 1 - sure)
    return predictions(LABELS, np.stack([1 - of_b, of_b], axis=1))


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Two members: the first is right on clean images alone, the second less often, but after a chain too.

    On images in JPEG alone, both guess.
    """
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, clean, degraded in (("lda", 0.97, 0.5), ("hist_cnn", 0.85, 0.8)):
        splits = {"degraded/jpeg_60": probabilities(rng, 0.5), "degraded/chain": probabilities(rng, degraded)}
        save_predictions(name, CLASSES, {"validation": probabilities(rng, clean)} | splits, MEMBERS)
        save_predictions(name, CLASSES, {"validation": probabilities(rng, degraded)}, DEGRADED / "jpeg_50")
    Path("data/arrays").mkdir()
    about = {"classes": CLASSES, "names": CLASSES, "image_size": 8, "resize": "squash", "max_pixels": 10**6}
    Path("data/arrays/dataset.json").write_text(json.dumps(about))
    Path("params.yaml").write_bytes(DEMO.read_bytes())
    Clone(tmp_path).edit(
        "params.yaml",
        {
            "run.classifiers": ["lda"],
            "run.networks": ["hist_cnn"],
            "run.ensembles": ["stacking"],
            "ensembles.stacking.members": ["lda", "hist_cnn"],
            "ensembles.stacking.degraded": True,
            "degrade.grid": COPIES,
            "robustness.grid": {"jpeg_50": {"jpeg": 50}},
            "robustness.models": [],
        },
    )
    return tmp_path


@pytest.mark.slow
def test_a_fit_on_copies_relies_on_the_member_that_stands_them(finished):
    rows = {(row.copies, row.C): row for row in ensembles.compare("stacking", None, 2)}
    assert {copies for copies, _ in rows} == {"none", "all", "all but chains"}
    none, everything = rows["none", 0.1].accuracy, rows["all", 0.1].accuracy
    assert none["clean"] > 90 and everything["jpeg_50"] > none["jpeg_50"] + 5
    assert list(rows["all", 0.1].degraded) == ["jpeg_50"]
    assert rows["all", 0.1].log_loss != rows["all but chains", 0.1].log_loss
    assert everything["jpeg_50"] > rows["all but chains", 0.1].accuracy["jpeg_50"]
    assert rows["all", 1.0].log_loss != rows["all", 0.001].log_loss


@pytest.mark.slow
def test_it_prints_a_table_and_writes_rows(finished, monkeypatch, capsys):
    arguments = ["--ensemble", "stacking", "--divisions", "1", "--show", *["jpeg_50"] * 9, "--json", "rows.json"]
    monkeypatch.setattr(sys, "argv", ["ensembles", *arguments])
    ensembles.main()
    printed = capsys.readouterr().out
    rows = json.loads(Path("rows.json").read_text())
    assert len(rows) == 3 * len(ensembles.STRENGTHS)
    assert set(rows[0]["accuracy"]) == {"clean", "jpeg_50"}
    (line,) = [each for each in printed.splitlines() if "all but chains" in each and " 0.01 " in each]
    (row,) = [each for each in rows if (each["copies"], each["C"]) == ("all but chains", 0.01)]
    assert f"{row['accuracy']['clean']:.1f}" in line and f"{row['log_loss']:.3f}" in line
    assert "…" not in printed  # a table that is wider than 80 characters is not cut


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ensemble", "average"], "average is not a stacking ensemble of params.yaml"),
        (["--ensemble", "stacking", "--divisions", "0"], "--divisions: at least 1"),
        (["--ensemble", "stacking", "--show", "blur"], "--show: robustness.grid does not name blur"),
    ],
)
def test_what_cannot_be_compared_is_refused(finished, monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", ["ensembles", *arguments])
    with pytest.raises(SystemExit, match=message):
        ensembles.main()
