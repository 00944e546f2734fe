"""The benchmark of squares: its numbers, distances and predictions against scikit-learn's, and its table."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks import squares
from fakeprint import params
from fakeprint.data.arrays import Split
from fakeprint.errors import InputError
from fakeprint.features import extract
from tests.samples import DEMO

RNG = np.random.default_rng(2)
LABELS = np.arange(40) % 2


def noise() -> np.ndarray:
    """Images of two classes: plain noise, and noise whose steps to the right are small."""
    images = RNG.integers(0, 40, (40, 48, 48, 3), dtype=np.uint8)
    images[LABELS == 1] = np.cumsum(images[LABELS == 1] % 2, axis=2, dtype=np.uint8)
    return images


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> params.Params:
    found = params.load(DEMO)
    found = found.model_copy(update={"run": found.run.model_copy(update={"workers": 1})})
    monkeypatch.setattr(squares.params, "load", lambda: found)
    return found


def test_numbers_are_those_of_the_feature_sets(settings: params.Params) -> None:
    images = noise()[:3]
    others, found = squares.numbers_of(images, settings)
    residual = settings.features.residual.model_dump() | {"squares": True}
    whole = extract("residual", residual, images)
    np.testing.assert_array_equal(found, whole[:, -found.shape[1] :])
    sets = ("hsv_joint", "spectrum")
    more = [extract(name, getattr(settings.features, name).model_dump(), images) for name in sets]
    np.testing.assert_array_equal(others, np.concatenate([whole[:, : -found.shape[1]], *more], axis=1))


def test_predictions_are_those_of_scikit_learn() -> None:
    numbers = RNG.gamma(2.0, size=(40, 7)).astype(np.float32)
    numbers[:, 3] = 0.5
    numbers[LABELS == 1, 0] += 9
    between, dimensions = squares.distances(numbers)
    rows = StandardScaler().fit_transform(np.sqrt(np.delete(numbers, 3, axis=1).astype(np.float64)))
    assert dimensions == 6
    np.testing.assert_allclose(between, pairwise_distances(rows, metric="sqeuclidean"), atol=1e-3)
    folds = StratifiedKFold(4, shuffle=True, random_state=11)
    predicted = squares.cross_validated(between, 0.1, LABELS, list(folds.split(rows, LABELS)))
    assert predicted.tolist() == cross_val_predict(SVC(C=10.0, gamma=0.1), rows, LABELS, cv=folds).tolist()
    assert np.mean(predicted == LABELS) > 0.8


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_the_rows(
    settings: params.Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = np.full(40, None, dtype=object)
    train = Split(noise(), np.arange(40).astype(str), LABELS, np.arange(40), unknown)
    (tmp_path / "train.parquet").touch()
    monkeypatch.setattr(squares, "ARRAYS", tmp_path)
    monkeypatch.setattr(squares, "load_split", lambda name: train)
    monkeypatch.setattr(sys, "argv", ["squares", "--gammas", "1", "--json", str(tmp_path / "rows.json")])
    squares.main()
    assert "40 images, figures in %" in capsys.readouterr().out
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert [row["squares"] for row in rows] == ["without", "with", "with, mirrors merged"]
    assert rows[0]["dimensions"] < rows[1]["dimensions"]
    assert all(row["accuracy"] == 1.0 and len(row["recalls"]) == 2 for row in rows)
    assert [(row["only_it"], row["only_without"], row["p"]) for row in rows] == [(0, 0, 1.0)] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "data/arrays/train.parquet is missing: run `dvc repro prepare` first"),
        (["--folds", "1"], "--folds: at least 2"),
        (["--gammas", "0"], "--gammas: above 0"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["squares", *options])
    with pytest.raises(SystemExit):
        squares.main()
    assert message in capsys.readouterr().err


def test_more_folds_than_images_of_a_class_are_one_line(settings: params.Params) -> None:
    with pytest.raises(InputError, match=r"^--folds: 21 is more than the 20 images of the largest class$"):
        squares.compare(noise(), LABELS, [1.0], 21, 0)
