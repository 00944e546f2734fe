"""Classes left out of training: what models may see, what is written, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeprint import params
from fakeprint.files import read_json
from fakeprint.refits import Task, refit
from fakeprint.refits.leave_one_out import task_without
from fakeprint.training import loop
from fakeprint.verdict.separation import FIGURES, RATES
from stages import open_world
from tests.refits.conftest import Workspace

CLASSES = ["a", "b", "c", "d"]
COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)]


def call(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "argv", ["open_world", name])
    open_world.main()


def scramble(path: str, labels: np.ndarray, left_out: int) -> None:
    """Other values in the rows of one class."""
    array = np.load(path)
    array[labels == left_out] = array[labels == left_out][..., ::-1] // 2 + 3
    np.save(path, array)


def train_labels() -> np.ndarray:
    return pd.read_parquet("data/arrays/train.parquet")["class"].to_numpy()


def test_a_task_without_one_class() -> None:
    task = task_without(1, np.array([0, 1, 2, 3]), np.array([3, 2, 1]), CLASSES, "open_world/lda")
    assert task.classes == ["a", "c", "d"]
    assert task.train.tolist() == [0, -1, 1, 2]
    assert task.validation.tolist() == [2, 1, -1]
    assert task.purpose == "open_world/lda/1"


def without(number: int) -> Task:
    validation = pd.read_parquet("data/arrays/validation.parquet")["class"].to_numpy()
    return task_without(number, train_labels(), validation, CLASSES, "open_world/test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"), [("lda", {}), ("knn", {}), ("three_cnn", {}), ("three_cnn", {"train__clean_norm": True})]
)
def test_a_model_does_not_see_the_class_that_is_left_out(
    workspace: Workspace, name: str, changes: dict[str, bool]
) -> None:
    workspace(CLASSES, CLASSES, COLOURS, **changes)
    settings, labels = params.load(), train_labels()
    before = refit(settings, name, without(2), features=True)
    before.finished()
    for file in ("data/arrays/train.npy", "data/augmented/copies.npy", "data/features/hsv_hist/train.npy"):
        scramble(file, labels, left_out=2)
    scramble("data/features/hsv_hist/augmented.npy", labels, left_out=2)
    after = refit(settings, name, without(2), features=True)
    assert before.validation.logits.shape == (80, 3)
    assert (before.validation.logits == after.validation.logits).all()
    assert (before.labels == after.labels).all() and set(before.labels.tolist()) == {0, 1, 2}
    scramble("data/arrays/train.npy", labels, left_out=0)
    scramble("data/features/hsv_hist/train.npy", labels, left_out=0)
    scramble("data/features/hsv_hist/augmented.npy", labels, left_out=0)
    other = refit(settings, name, without(2), features=True)
    assert (before.validation.logits != other.validation.logits).any()  # the test would see a difference


@pytest.mark.slow
def test_a_classifier_through_the_stage(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace(CLASSES, CLASSES, COLOURS)
    call(monkeypatch, "lda")
    rows = pd.read_csv("metrics/open_world/lda.csv")
    assert rows["left_out"].unique().tolist() == ["a!", "b!", "c!", "d!", "mean"]
    assert rows["score"].unique().tolist() == ["max_probability", "mahalanobis", "neighbours"]
    of_class = rows[rows["left_out"] != "mean"]
    assert (of_class["known_images"] == 60).all() and (of_class["unknown_images"] == 20).all()
    assert (of_class["accuracy"] > 0.95).all()
    # colours that training never saw are far from those that it saw
    assert (of_class.loc[of_class["score"] == "mahalanobis", "auroc"] > 0.95).all()
    for name in (*FIGURES, *RATES):
        assert ((rows[name] >= 0) & (rows[name] <= 1)).all()
        mean = rows[(rows["left_out"] == "mean") & (rows["score"] == "neighbours")][name].item()
        assert mean == pytest.approx(of_class.loc[of_class["score"] == "neighbours", name].mean())
        assert (of_class[f"{name}_low"].dropna() <= of_class[name][of_class[f"{name}_low"].notna()]).all()
    content = read_json("metrics/open_world/lda.json")
    assert list(content) == ["mean", "a!", "b!", "c!", "d!"]
    stored = pd.read_parquet("data/open_world/lda/1.parquet")
    assert list(stored.columns) == [
        *("image_id", "label", "group", "score_max_probability", "score_mahalanobis", "score_neighbours"),
        *("logit_a", "logit_c", "logit_d"),
    ]
    assert np.exp(stored[["logit_a", "logit_c", "logit_d"]]).sum(axis=1).to_numpy() == pytest.approx(1)
    for picture in ("heat", "curves"):
        assert Image.open(f"reports/open_world/lda/{picture}.png").size > (300, 200)
    first = Path("metrics/open_world/lda.csv").read_bytes()
    call(monkeypatch, "lda")
    assert Path("metrics/open_world/lda.csv").read_bytes() == first


@pytest.mark.slow
def test_a_network_through_the_stage(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    here = workspace(CLASSES[:3], CLASSES[:3], COLOURS)
    call(monkeypatch, "three_cnn")
    rows = pd.read_csv("metrics/open_world/three_cnn.csv")
    assert rows["score"].unique().tolist() == ["max_probability", "max_logit", "energy", "mahalanobis", "neighbours"]
    for number in range(3):
        stored = pd.read_parquet(f"data/open_world/three_cnn/{number}.parquet")
        features = np.load(f"data/open_world/three_cnn/{number}_features.npy")
        assert len(stored) == len(features) == 80 and features.dtype == np.float32
    assert list((here / ".fakeprint/checkpoints").iterdir()) == []


@pytest.mark.slow
def test_a_killed_training_continues(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is finished is not trained again, as long as the results are not on disk."""
    workspace(CLASSES, CLASSES, COLOURS)
    epochs: list[int] = []
    real = loop.train_epoch
    monkeypatch.setattr(loop, "train_epoch", lambda *words: epochs.append(words[2]) or real(*words))
    settings = params.load()
    first = refit(settings, "three_cnn", without(0), features=False)
    again = refit(settings, "three_cnn", without(0), features=False)
    assert epochs == [1, 2]
    assert (first.validation.logits == again.validation.logits).all()
    again.finished()
    refit(settings, "three_cnn", without(0), features=False)
    assert epochs == [1, 2, 1, 2]


@pytest.mark.slow
def test_each_class_and_purpose_has_its_own_seed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from fakeprint.refits import classifiers

    workspace(CLASSES, CLASSES, COLOURS)
    seeds: list[int] = []
    real = classifiers.fit
    monkeypatch.setattr(classifiers, "fit", lambda *words: seeds.append(words[5]) or real(*words))
    call(monkeypatch, "lda")
    assert len(set(seeds)) == 4


def test_weights_of_the_class_that_is_left_out_are_left_out_too(workspace: Workspace) -> None:
    workspace(CLASSES, CLASSES, COLOURS, train__class_weights={"a": 2.0, "c": 3.0})
    fitted = refit(params.load(), "three_cnn", without(0), features=False)
    assert fitted.validation.logits.shape == (80, 3)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            ["a", "b"],
            "error: open_world needs at least 3 classes, and the source has 2 (a, b); set open_world.classifiers and "
            "open_world.networks to []",
        ),
        (["a", "b", "c", "x"], "error: open_world: validation has no image of class x; add some"),
    ],
)
def test_what_is_refused(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    classes: list[str],
    message: str,
) -> None:
    workspace(classes, classes[:3], COLOURS[: len(classes[:3])])
    with pytest.raises(SystemExit, match="1"):
        call(monkeypatch, "lda")
    assert capsys.readouterr().err.splitlines()[-1] == message
    assert not Path("data/open_world/lda").exists()


def test_too_many_neighbours(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace(CLASSES, CLASSES, COLOURS, open_world__neighbours=91)
    with pytest.raises(SystemExit, match="1"):
        call(monkeypatch, "lda")
    message = "error: open_world.neighbours is 91, more than the 90 train images; lower it"
    assert capsys.readouterr().err.splitlines()[-1] == message
