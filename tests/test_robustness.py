import io
import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from fakeprint import degraded as degraded_module
from fakeprint import parallel, params, predict, robustness
from fakeprint.data.arrays import Dataset
from fakeprint.degraded import degraded, load_models
from fakeprint.errors import InputError
from fakeprint.evaluation.predictions import MEMBERS, save_predictions
from fakeprint.features import extract
from fakeprint.models.classifiers.files import FittedClassifier, describe, save_classifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.models.ensembles.combinations import Members, WeightedAverage, save_ensemble
from fakeprint.models.ensembles.fitting import cross_fit
from fakeprint.predict import load_model
from fakeprint.robustness import Combined, predict_degraded
from tests.samples import DEMO, predictions

SIZE = 24
DATASET = Dataset(["0", "1", "2"], ["red", "green", "blue"], SIZE, "squash", 10**6)
SETS = {"rgb_hist": {"bins": 3}, "hsv_hist": {"bins": 8}}
GRID = {"noise_2": {"noise": 2.0}, "messenger": {"rescale": 0.5, "jpeg": 75.0}}


def pictures(count=12, seed=0):
    """Noise, brighter in the channel of its class."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(seed).integers(0, 180, (count, SIZE, SIZE, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels] += 40
    return images, labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models lda and knn, which share rgb_hist, and three_cnn with random weights."""
    import torch

    from fakeprint.models import networks
    from fakeprint.models.network_files import save_network

    root = tmp_path_factory.mktemp("models")
    images, labels = pictures(30)
    lda = params.LDA(method="lda", features=["rgb_hist", "hsv_hist"], scale="sqrt", augmented=False, shrinkage=0.5)
    knn = params.KNN(method="knn", features=["rgb_hist"], scale="none", augmented=False, k=[3], metrics=["l1"])
    for name, settings in (("lda", lda), ("knn", knn)):
        x = np.concatenate([extract(part, SETS[part], images) for part in settings.features], axis=1)
        model = fit(settings, x, labels, x, labels, seed=1, workers=1)
        features = {part: SETS[part] for part in settings.features}
        (root / name).mkdir()
        described = describe(name, settings, model, features, asdict(DATASET))
        save_classifier(root / name, FittedClassifier(model, described))
    torch.manual_seed(0)
    design = networks.Design(3, SIZE, width=0.25)
    (root / "three_cnn").mkdir()
    described = {"name": "three_cnn", "dataset": asdict(DATASET), "design": asdict(design), "options": {}}
    save_network(root / "three_cnn", networks.build("three_cnn", design, {}), described)
    return root


def test_steps_are_applied_in_their_order():
    images, _ = pictures(2)
    first_smaller = degraded(images, "a", {"rescale": 0.5, "jpeg": 75}, 1)
    assert not np.array_equal(first_smaller, degraded(images, "a", {"jpeg": 75, "rescale": 0.5}, 1))
    at_last = [Image.fromarray(each) for each in degraded(images, "a", {"rescale": 0.5}, 1)]
    for image, got in zip(at_last, first_smaller, strict=True):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=75, subsampling="4:2:0")
        assert np.abs(np.asarray(Image.open(stream)).astype(int) - got).max() <= 3


def test_a_crop_keeps_the_middle_and_geometry_may_come_last():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, 8:24, 8:24] = 200
    assert (degraded(image, "a", {"crop": 0.5}, 1)[0, 4:-4, 4:-4] == 200).all()
    assert (degraded(image, "a", {"brightness": 0.5, "crop": 0.5}, 1)[0, 4:-4, 4:-4] == 100).all()


def test_noise_goes_by_seed_cell_and_image():
    grey = np.full((3, 64, 64, 3), 128, np.uint8)
    once = degraded(grey, "noise_2", {"noise": 2}, 7)
    assert abs(once.astype(float).std() - 2) < 0.1
    assert np.array_equal(once, degraded(grey, "noise_2", {"noise": 2}, 7))
    assert np.array_equal(once[:2], degraded(grey[:2], "noise_2", {"noise": 2}, 7))
    assert not np.array_equal(once[0], once[1])
    assert not np.array_equal(once, degraded(grey, "noise_2", {"noise": 2}, 8))
    assert not np.array_equal(once, degraded(grey, "other", {"noise": 2}, 7))


@pytest.mark.parametrize("tta", [params.Predict(), params.Predict(tta="flip")], ids=["plain", "flip"])
def test_degraded_images_are_predicted_as_predict_does(folder, monkeypatch, tta):
    images, _ = pictures(10, seed=3)
    monkeypatch.setattr(degraded_module, "BATCH", 4)
    monkeypatch.setattr(degraded_module, "CLASSIFIED", 8)
    described = []

    def counted(name, options, images):
        described.append((name, len(images)))
        return extract(name, options, images)

    monkeypatch.setattr(degraded_module, "extract", counted)
    combination = WeightedAverage([0.75, 0.25], [1.0, 1.0])
    ensembles = {"average": Combined(["lda", "three_cnn"], combination)}
    models = load_models(["lda", "knn", "three_cnn"], tta, folder)
    found = dict(predict_degraded(models, ensembles, images, GRID, 7, workers=1))
    assert list(found) == list(GRID)
    for cell, steps in GRID.items():
        degraded_images = degraded(images, cell, steps, 7)
        wanted = {
            name: load_model(folder / name, tta=tta).probabilities(degraded_images)
            for name in ("lda", "knn", "three_cnn")
        }
        wanted["average"] = 0.75 * wanted["lda"] + 0.25 * wanted["three_cnn"]
        assert set(found[cell]) == set(wanted)
        for name, probabilities in wanted.items():
            assert np.abs(found[cell][name] - probabilities).max() < 1e-5, name
    # 2 cells × 2 feature sets × batches of 4, 4 and 2: what lda and knn share is extracted once
    assert sorted(described) == sorted([(name, size) for name in SETS for size in (4, 4, 2)] * 2)


@pytest.mark.slow
def test_a_split_passes_through_in_batches(folder, monkeypatch, tmp_path):
    """No array of all images is made, nor of all features; many batches and workers give what one batch gives."""
    images, _ = pictures(40, seed=5)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    models = load_models(["lda"], params.Predict(), folder)
    at_once = dict(predict_degraded(models, {}, mapped, GRID, 7, workers=1))
    batches = []
    prepared = degraded_module._prepare_batch
    monkeypatch.setattr(
        degraded_module, "_prepare_batch", lambda pixels, *more: batches.append(pixels) or prepared(pixels, *more)
    )
    monkeypatch.setattr(degraded_module, "BATCH", 8)
    in_batches = dict(predict_degraded(models, {}, mapped, GRID, 7, workers=1))
    assert [len(pixels) for pixels in batches] == [8] * 10
    assert not any(isinstance(pixels, np.memmap) for pixels in batches)
    monkeypatch.undo()
    monkeypatch.setattr(degraded_module, "BATCH", 8)
    monkeypatch.setattr(parallel, "SERIAL", 0)
    by_two = dict(predict_degraded(models, {}, mapped, GRID, 7, workers=2))
    for cell in GRID:
        np.testing.assert_allclose(in_batches[cell]["lda"], at_once[cell]["lda"], atol=1e-12)
        np.testing.assert_array_equal(by_two[cell]["lda"], in_batches[cell]["lda"])


def test_large_images_are_degraded_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr("fakeprint.data.arrays.BATCH_BYTES", 4 * 3 * 50 * 60)
    assert degraded_module._batch_size(np.zeros((9, 50, 60, 3), np.uint8)) == 4
    assert degraded_module._batch_size(np.zeros((9, 500, 600, 3), np.uint8)) == 1
    assert degraded_module._batch_size(np.zeros((9, 5, 6, 3), np.uint8)) == degraded_module.BATCH


def test_classifiers_get_as_many_rows_whatever_the_batch(folder, monkeypatch):
    images, _ = pictures(40, seed=5)
    models = load_models(["knn"], params.Predict(), folder)
    called = []
    answer = type(models.classifiers["knn"]).probabilities
    monkeypatch.setattr(
        type(models.classifiers["knn"]), "probabilities", lambda self, x: called.append(len(x)) or answer(self, x)
    )
    monkeypatch.setattr(degraded_module, "CLASSIFIED", 16)
    monkeypatch.setattr("fakeprint.data.arrays.BATCH_BYTES", 3 * 3 * SIZE * SIZE)  # three images per batch
    dict(predict_degraded(models, {}, images, {"blur_1": {"blur": 1}}, 7, workers=1))
    assert called == [18, 18, 4]


@pytest.mark.parametrize("dataset", [None, {"classes": ["a"]}])
def test_a_model_that_does_not_say_what_it_learned_from_is_one_line(dataset, folder, tmp_path):
    shutil.copytree(folder / "lda", tmp_path / "lda")
    described = json.loads((folder / "lda/model.json").read_text()) | {"dataset": dataset}
    (tmp_path / "lda/model.json").write_text(json.dumps(described))
    for load in (lambda: load_model(tmp_path / "lda"), lambda: load_models(["lda"], params.Predict(), tmp_path)):
        with pytest.raises(InputError, match=r"lda/model\.json does not describe"):
            load()


def test_features_on_a_device_are_computed_by_this_process(folder, monkeypatch):
    def refuse(tasks, workers):
        raise AssertionError("processes were started")

    monkeypatch.setattr(degraded_module, "in_order", refuse)
    monkeypatch.setattr(degraded_module, "on_device", lambda sets: list(sets) == ["rgb_hist"])
    models = load_models(["knn"], params.Predict(), folder)
    images, _ = pictures(4)
    ((_, probabilities),) = predict_degraded(models, {}, images, {"blur_1": {"blur": 1}}, 7, workers=2)
    assert probabilities["knn"].shape == (4, 3)


def test_an_ensemble_of_ensembles_is_refused(folder, tmp_path):
    for name, members in (("inner", ["lda"]), ("outer", ["inner"]), ("itself", ["itself"])):
        (tmp_path / name).mkdir()
        about = {"name": name, "method": "average", "members": members, "dataset": asdict(DATASET)}
        save_ensemble(tmp_path / name, about, WeightedAverage([1.0], [1.0]))
    for name, member in (("outer", "inner"), ("itself", "itself")):
        with pytest.raises(InputError, match=rf"{name}/model.json: its member {member} is an ensemble itself"):
            load_model(tmp_path / name)


def test_classifiers_alone_need_no_network(folder, monkeypatch):
    monkeypatch.setattr(predict, "_network", None)
    models = load_models(["knn"], params.Predict(), folder)
    assert models.feature_sets == [("rgb_hist", '{"bins": 3}')]
    images, _ = pictures(4)
    ((cell, probabilities),) = predict_degraded(models, {}, images, {"blur_1": {"blur": 1}}, 7, workers=1)
    assert cell == "blur_1" and probabilities["knn"].shape == (4, 3)


def test_an_ensembles_folds_keep_groups(tmp_path, monkeypatch):
    settings = params.load(DEMO)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels, groups = np.arange(60) % 2, rng.integers(0, 15, 60)
    for name in ("one", "two"):
        stored = replace(predictions(labels, rng.dirichlet([1, 1], 60)), groups=groups)
        save_predictions(name, ["a", "b"], {"validation": stored}, MEMBERS)
    combined = robustness.combined("stacking", Members(["one", "two"], [0.5, 0.5], []), settings, ["a", "b"])
    fold = combined.combination.fold
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))


def test_an_ensemble_for_the_table_is_the_one_that_its_stage_cross_fits(tmp_path, monkeypatch):
    """Both are fitted on the stored predictions of degraded images too, in the same folds."""
    settings = params.load(DEMO)
    stacking = settings.ensembles["stacking"].model_copy(update={"members": ["one", "two"], "degraded": True})
    settings = settings.model_copy(update={"ensembles": {"stacking": stacking}})
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    clean, copies = rng.dirichlet([1, 1], (2, 60)), rng.dirichlet([1, 1], (2, 60))
    for name, mine, copy in zip(("one", "two"), clean, copies, strict=True):
        splits = {"validation": predictions(labels, mine), "degraded/jpeg": predictions(labels, copy)}
        save_predictions(name, ["a", "b"], splits, MEMBERS)
    members = Members(["one", "two"], [0.5, 0.5], [])
    combined = robustness.combined("stacking", members, settings, ["a", "b"])
    stacked, more = clean.transpose(1, 0, 2), copies.transpose(1, 0, 2)
    data = ("stacking", stacking, [0.5, 0.5], stacked, labels, np.arange(60), settings.seed)
    np.testing.assert_allclose(combined.combination(stacked), cross_fit(*data, [more])(stacked), atol=1e-12)
    assert np.abs(combined.combination(stacked) - cross_fit(*data)(stacked)).max() > 0.01
