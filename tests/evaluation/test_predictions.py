from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fakeprint.errors import InputError
from fakeprint.evaluation.predictions import MEMBERS, load_degraded_members, load_predictions, save_predictions
from tests.samples import predictions

CLASSES = ["0", "1"]
VALIDATION = replace(
    predictions(np.array([1, 0]), np.array([[0.25, 0.75], [0.5, 0.5]]), ["a", "b"]),
    groups=np.array([7, 7]),
    generators=np.array(["SDXL", None], dtype=object),
)
TEST = predictions(np.array([-1]), np.array([[0.9, 0.1]]), ["c"])
NO_TEST = predictions(np.array([], dtype=np.int64), np.empty((0, 2)))


def test_columns_rows_and_labels(tmp_path):
    save_predictions("m", CLASSES, {"validation": VALIDATION, "test": TEST}, tmp_path)
    frame = pd.read_parquet(tmp_path / "m.parquet")
    assert list(frame.columns) == ["image_id", "split", "label", "generator", "group", "p_0", "p_1"]
    assert frame["image_id"].tolist() == ["a", "b", "c"]
    assert frame["split"].tolist() == ["validation", "validation", "test"]
    assert frame["label"].tolist()[:2] == ["1", "0"]
    assert pd.isna(frame["label"][2])


@pytest.mark.parametrize("test", [TEST, NO_TEST])
def test_comes_back_as_it_went(tmp_path, test):
    save_predictions("m", CLASSES, {"validation": VALIDATION, "test": test}, tmp_path)
    for name, wanted in (("validation", VALIDATION), ("test", test)):
        read = load_predictions("m", CLASSES, name, tmp_path)
        assert read.image_ids.tolist() == wanted.image_ids.tolist()
        assert read.labels.tolist() == wanted.labels.tolist()
        assert read.groups.tolist() == wanted.groups.tolist()
        assert read.generators.tolist() == wanted.generators.tolist()
        assert np.array_equal(read.probabilities, wanted.probabilities)


def test_same_bytes_each_time(tmp_path):
    for name in ("one", "two"):
        save_predictions(name, CLASSES, {"validation": VALIDATION, "test": TEST}, tmp_path)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match=r"m\.parquet is missing: run `dvc repro` first"):
        load_predictions("m", CLASSES, "test", tmp_path)


def test_other_classes_are_refused(tmp_path):
    save_predictions("m", CLASSES, {"validation": VALIDATION}, tmp_path)
    with pytest.raises(InputError, match=r"m\.parquet was made for other classes \(p_0, p_1\): run `dvc repro`"):
        load_predictions("m", ["real", "fake"], "validation", tmp_path)


def copies(*shares):
    """Two images' probabilities of the first class."""
    return replace(VALIDATION, probabilities=np.array([[share, 1 - share] for share in shares]))


def test_members_predictions_of_degraded_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, (blur, jpeg) in {"one": (0.1, 0.2), "two": (0.3, 0.4)}.items():
        splits = {"validation": VALIDATION, "degraded/blur": copies(blur, 0.5), "degraded/jpeg": copies(jpeg, 0.6)}
        save_predictions(name, CLASSES, splits, MEMBERS)
    found = load_degraded_members(["one", "two"], CLASSES)
    assert list(found) == ["blur", "jpeg"]
    blur, jpeg = found.values()
    np.testing.assert_allclose(blur, [[[0.1, 0.9], [0.3, 0.7]], [[0.5, 0.5], [0.5, 0.5]]])
    np.testing.assert_allclose(jpeg, [[[0.2, 0.8], [0.4, 0.6]], [[0.6, 0.4], [0.6, 0.4]]])


def test_the_order_of_degraded_images_in_a_file_does_not_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, cells in (("one", ["blur", "jpeg"]), ("two", ["jpeg", "blur"])):
        shares = {"blur": 0.1, "jpeg": 0.2}
        splits = {f"degraded/{cell}": copies(shares[cell], 0.5) for cell in cells}
        save_predictions(name, CLASSES, {"validation": VALIDATION} | splits, MEMBERS)
    found = load_degraded_members(["one", "two"], CLASSES)
    np.testing.assert_allclose(found["blur"][0, :, 0], [0.1, 0.1])
    np.testing.assert_allclose(found["jpeg"][0, :, 0], [0.2, 0.2])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], r"two\.parquet holds no predictions of degraded images: add some to degrade\.grid, then `dvc repro`"),
        (["jpeg", "noise"], r"/one\.parquet and .*/two\.parquet hold different degraded images: run `dvc repro`"),
    ],
)
def test_members_that_predicted_other_degraded_images_are_refused(tmp_path, monkeypatch, cells, message):
    monkeypatch.chdir(tmp_path)
    for name, found in (("one", ["jpeg"]), ("two", cells)):
        splits = {"validation": VALIDATION} | {f"degraded/{cell}": copies(0.5, 0.5) for cell in found}
        save_predictions(name, CLASSES, splits, MEMBERS)
    with pytest.raises(InputError, match=message):
        load_degraded_members(["one", "two"], CLASSES)
