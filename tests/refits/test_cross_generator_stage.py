"""The stage `cross_generator` on real files: with real images, with named generators, and with pairs of classes."""

import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeprint.files import read_json
from stages import cross_generator
from tests.refits.conftest import Workspace

REAL, RED, GREEN, BLUE = (128, 128, 128), (200, 60, 60), (60, 200, 60), (60, 60, 200)


def call(monkeypatch: pytest.MonkeyPatch, name: str) -> pd.DataFrame:
    monkeypatch.setattr(sys, "argv", ["cross_generator", name])
    cross_generator.main()
    return pd.read_csv(f"metrics/cross_generator/{name}.csv")


def cell(rows: pd.DataFrame, anchor: str, trained: str, tested: str) -> pd.Series:
    chosen = (rows["anchor"] == anchor) & (rows["trained_on"] == trained) & (rows["tested_on"] == tested)
    return rows[chosen].iloc[0]


@pytest.mark.slow
def test_a_trace_that_two_generators_share_is_found_in_both(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One and two paint red, three paints grey as photographs are, only darker."""
    names, darker = ["one", "real", "three", "two"], (90, 90, 90)
    workspace(names, names, [RED, REAL, darker, RED], data__real_classes=["real"])
    rows = call(monkeypatch, "lda")
    assert set(rows["anchor"]) == {"real"} and len(rows) == 9
    assert cell(rows, "real", "one!", "two!")["auc"] > 0.99
    assert cell(rows, "real", "one!", "one!")["balanced_accuracy"] > 0.95
    assert cell(rows, "real", "one!", "three!")["balanced_accuracy"] < 0.7
    assert (rows["anchor_images"] == 20).all() and (rows["tested_images"] == 20).all()
    scores = pd.read_parquet("data/cross_generator/lda.parquet")
    assert list(scores.columns) == ["image_id", "real | one!", "real | three!", "real | two!"]
    content = read_json("metrics/cross_generator/lda.json")
    assert content["own"]["auc"] == pytest.approx(rows[rows["trained_on"] == rows["tested_on"]]["auc"].mean())
    for picture in ("auc", "balanced_accuracy"):
        assert Image.open(f"reports/cross_generator/lda/{picture}.png").size > (300, 200)


@pytest.mark.slow
def test_generators_that_the_source_names(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photographs of generator b are blue: a detector of b must not have seen the grey ones of a."""
    workspace(
        ["fake", "real"],
        ["real", "real", "fake", "fake"],
        [REAL, BLUE, RED, GREEN],
        generators=["a", "b", "a", "b"],
        data__real_classes=["real"],
    )
    rows = call(monkeypatch, "lda")
    assert rows[["trained_on", "tested_on"]].to_numpy().tolist() == [["a", "a"], ["a", "b"], ["b", "a"], ["b", "b"]]
    assert (rows["anchor_images"] == 20).all()
    assert cell(rows, "real", "b", "b")["auc"] > 0.99


@pytest.mark.slow
def test_pairs_of_classes_without_a_real_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["blue", "green", "red"]
    workspace(names, names, [BLUE, GREEN, RED])
    rows = call(monkeypatch, "lda")
    assert len(rows) == 12
    own = rows["trained_on"] == rows["tested_on"]
    assert (rows.loc[own, "auc"] > 0.99).all()
    there, back = cell(rows, "blue!", "red!", "red!"), cell(rows, "red!", "blue!", "blue!")
    assert there["auc"] == pytest.approx(back["auc"])  # the same detector
    first = rows.to_csv()
    assert call(monkeypatch, "lda").to_csv() == first


@pytest.mark.slow
def test_a_network(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["one", "real", "two"]
    here = workspace(names, names, [RED, REAL, GREEN])
    rows = call(monkeypatch, "three_cnn")
    assert len(rows) == 4 and np.isfinite(rows["auc"]).all()
    assert list((here / ".fakeprint/checkpoints").iterdir()) == []


def test_what_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace(["one", "real"], ["one", "real"], [RED, REAL])
    with pytest.raises(SystemExit, match="1"):
        call(monkeypatch, "lda")
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: cross_generator needs at least 2 generators")
