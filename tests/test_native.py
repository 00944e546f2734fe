"""Images at their own sizes through the stages: prepared, copied, learned from, predicted, degraded and served."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeprint import params
from fakeprint.__main__ import main
from fakeprint.augment.variants import variants
from fakeprint.data.arrays import WholeImages, load_dataset, load_split
from fakeprint.data.crops import Cropping, even_crops
from fakeprint.degraded import degraded
from fakeprint.evaluation.predictions import DEGRADED, MEMBERS, load_degraded_members, load_members, load_predictions
from fakeprint.models.ensembles.fitting import cross_fit
from fakeprint.predict import load_model, predict_files
from fakeprint.search import feature_sets, running, scoring, space, storage, trials
from fakeprint.variants import VARIANTS
from stages import (
    augment,
    calibrate,
    ensemble,
    evaluate,
    features,
    fit,
    predict,
    predict_degraded,
    prepare,
    train,
    validate,
)
from tests.pipeline.clones import Clone
from tests.samples import DEMO

pytestmark = pytest.mark.slow

CLASSES = ["fine", "rough"]
SIDE = 16
SETS, CLASSIFIERS = ["residual"], ["lda", "knn"]
SIZES = [(16, 16), (40, 24), (17, 50), (33, 33), (10, 40)]  # the last is smaller than a crop


def picture(rng: np.random.Generator, label: int, height: int, width: int) -> np.ndarray:
    """Noise; of class 1 in blocks of two pixels, which scaling would hide."""
    step = label + 1
    noise = rng.normal(0, 12, (-(-height // step), -(-width // step), 3)).repeat(step, 0).repeat(step, 1)
    return np.clip(128 + noise[:height, :width], 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder in which the stages have run on images of five sizes, and the images' folder."""
    root = tmp_path_factory.mktemp("native")
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 20), ("test", 10)):
        for number in range(count):
            label = number % 2
            folder = root / "source" / split / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = picture(rng, label, *SIZES[number // 2 % len(SIZES)])
            Image.fromarray(pixels).save(folder / f"{number:02}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        shutil.copy(DEMO, "params.yaml")
        changes = {
            "run.features": SETS,
            "run.classifiers": CLASSIFIERS,
            "run.networks": ["three_cnn"],
            "run.ensembles": ["average"],
            "run.workers": 1,
            "data.path": "source",
            "data.layout": "folders",
            "data.title": "noise",
            "prepare.resize": "native",
            "prepare.image_size": SIDE,
            "prepare.train_crops": 3,
            "predict.crops": 4,
            "predict.tta": "flip",
            "augment.copies": 1,
            "tracking.enabled": False,
            "decide.consistency": True,
            "degrade.grid": {"blur": {"blur": 1.0}, "smaller": {"rescale": 0.8}},
            "robustness.grid": {"blur": {"blur": 1.0}, "turned": {"rotation": 10, "noise": 2}},
            "classifiers.lda.features": SETS,
            "classifiers.knn.features": SETS,
            "train.epochs": 3,
            "train.batch_size": 10,
            "train.augmented": True,
            "train.device": "cpu",
            "model.normalisation": "dataset",
            "ensembles.average.members": [*CLASSIFIERS, "three_cnn"],
            "ensembles.average.calibrate": True,
            "ensembles.average.degraded": True,
        }
        Clone(root).edit("params.yaml", changes)
        for stage, name in (
            *((stage, None) for stage in (validate, prepare, augment)),
            *((features, name) for name in SETS),
            *((fit, name) for name in CLASSIFIERS),
            (train, "three_cnn"),
            *((predict, name) for name in (*CLASSIFIERS, "three_cnn")),
            (ensemble, "average"),
            (predict_degraded, None),
            (calibrate, None),
            (evaluate, "average"),
        ):
            patch.setattr(sys, "argv", [stage.__name__, name])
            stage.main(name) if stage is train else stage.main()
        yield root


@pytest.fixture
def here(ran, monkeypatch):
    """The same, as the current folder."""
    monkeypatch.chdir(ran)
    return ran


def test_whole_images_are_stored_once(here):
    split = load_split("validation")
    assert isinstance(split.images, WholeImages)
    assert [image.shape[:2] for image in split.images][:3] == [SIZES[0], SIZES[1], SIZES[2]]
    for image_id, image in zip(split.image_ids, split.images, strict=True):
        (file,) = Path("source").rglob(f"{image_id}*")
        assert np.array_equal(np.asarray(Image.open(file)), image)
    assert Path("data/arrays/validation.npy").stat().st_size < 128 + sum(3 * h * w for h, w in SIZES) * 4 + 64
    assert json.loads(Path("data/arrays/dataset.json").read_text())["small"] == "mirror"


@pytest.mark.parametrize("name", ["lda", "three_cnn"])
def test_degraded_copies_for_ensembles_are_whole_images_cut_then(here, name):
    classes = load_dataset().classes
    for_ensembles = load_predictions(name, classes, "degraded/blur", MEMBERS)
    for_the_table = load_predictions(name, classes, "validation", DEGRADED / "blur")
    assert for_ensembles.image_ids.tolist() == for_the_table.image_ids.tolist()
    np.testing.assert_allclose(for_ensembles.probabilities, for_the_table.probabilities, atol=1e-6)


def test_an_ensemble_is_fitted_on_the_degraded_copies_too(here):
    settings, classes, names = params.load(), load_dataset().classes, [*CLASSIFIERS, "three_cnn"]
    validation, members = load_members(names, classes, "validation")
    copies = load_degraded_members(names, classes)
    assert list(copies) == ["blur", "smaller"]
    average = settings.ensembles["average"]
    data = ("average", average, [1 / 3] * 3, members, validation.labels, validation.groups, settings.seed)
    stored = load_predictions("average", classes, "validation").probabilities
    np.testing.assert_allclose(stored, cross_fit(*data, list(copies.values()))(members), atol=1e-6)
    assert np.abs(stored - cross_fit(*data)(members)).max() > 1e-4


def test_classifiers_are_fitted_on_even_crops(here):
    split, rows = load_split("train"), np.load("data/features/residual/train.npy")
    counts = [len(Cropping(SIDE, 3).of(image)) for image in split.images]
    assert len(rows) == sum(counts) > 2 * len(split.images)
    copies = np.load("data/augmented/copies.npy")
    assert copies.shape == (40, SIDE, SIDE, 3)
    index = pd.read_parquet("data/augmented/copies.parquet")
    assert index["class"].tolist() == split.labels.tolist()


@pytest.mark.parametrize("name", [*CLASSIFIERS, "three_cnn", "average"])
def test_files_are_predicted_as_the_stage_does(here, name):
    stored = load_predictions(name, CLASSES, "test", here / "data/predictions")
    settings = params.load().predict
    model = load_model(here / "models" / name, workers=1, tta=settings)
    files = [next(Path("source").rglob(f"{image_id}*")) for image_id in stored.image_ids]
    (served,) = predict_files(model, [(file, None) for file in files])
    assert served.paths == files
    np.testing.assert_allclose(served.probabilities, stored.probabilities, atol=1e-6)
    one_by_one = [next(predict_files(model, [(file, None)])).probabilities[0] for file in files]
    np.testing.assert_allclose(np.stack(one_by_one), stored.probabilities, atol=1e-6)
    assert model.probabilities([]).shape == (0, 2)


def test_a_probability_is_the_mean_over_crops(here):
    model = load_model(here / "models/lda", workers=1, tta=params.load().predict)
    image = load_split("validation").images[1]
    crops = model.crops(image)
    assert crops.shape == (4, SIDE, SIDE, 3)  # 2 × 2 of 3 × 2 that cover it
    of_one = load_model(here / "models/lda", workers=1, tta=params.Predict(crops=1))
    each = np.concatenate([of_one.probabilities([crop]) for crop in crops])
    means = np.exp(np.log(each).mean(axis=0))
    np.testing.assert_allclose(model.probabilities([image])[0], means / means.sum(), atol=1e-6)


@pytest.mark.parametrize("name", [*CLASSIFIERS, "three_cnn"])
def test_images_are_degraded_as_a_whole(here, name):
    settings, split = params.load(), load_split("validation")
    model = load_model(here / "models" / name, workers=1, tta=settings.predict)
    blurred = [degraded(image[None], "blur", {"blur": 1.0}, settings.seed)[0] for image in split.images]
    stored = load_predictions(name, CLASSES, "validation", here / "data/degraded/blur")
    np.testing.assert_allclose(model.probabilities(blurred), stored.probabilities, atol=1e-6)
    assert len(load_predictions(name, CLASSES, "validation", here / "data/degraded/turned").labels) == 20


@pytest.mark.parametrize("name", ["lda", "three_cnn", "average"])
def test_variants_of_files_are_of_the_whole_image(here, name):
    split, settings = load_split("validation"), params.load()
    files = [next(Path("source").rglob(f"{image_id}*")) for image_id in split.image_ids[:6]]
    model = load_model(here / "models" / name, workers=1, tta=settings.predict)
    (served,) = predict_files(model, [(file, None) for file in files], variants)
    for kind, variant in enumerate(VARIANTS):
        stored = load_predictions(name, CLASSES, "validation", here / "data/degraded" / variant)
        if name != "average":  # its combination is cross-fitted there
            np.testing.assert_allclose(served.variants[:, kind], stored.probabilities[:6], atol=1e-6)
    assert served.variants.shape == (6, 3, 2)
    (none,) = predict_files(model, [(here / "gone.png", None)], variants)
    assert none.variants.shape == (0, 3, 2)


def test_probabilities_are_calibrated_by_image(here):
    raw, calibrated = (
        load_predictions("lda", CLASSES, "validation", here / "data" / folder)
        for folder in ("predictions", "calibrated")
    )
    assert calibrated.image_ids.tolist() == raw.image_ids.tolist() and len(raw.labels) == 20


def test_small_images_are_mirrored_or_refused(here, capsys, tmp_path, monkeypatch):
    model = load_model(here / "models/lda", workers=1, tta=params.load().predict)
    small, *_ = (file for file in Path("source/test").rglob("*.png") if Image.open(file).height < SIDE)
    assert predict_one(model, small).unreadable == []
    refusing = replace(model, dataset=replace(model.dataset, small="refuse"))
    assert predict_one(refusing, small).unreadable == [(small, "smaller than 16×16 pixels")]

    shutil.copytree(here / "data", tmp_path / "data", ignore=shutil.ignore_patterns("arrays"))
    shutil.copy("params.yaml", tmp_path)
    (tmp_path / "source").symlink_to(here / "source")
    monkeypatch.chdir(tmp_path)
    Clone(tmp_path).edit("params.yaml", {"prepare.small": "refuse"})
    with pytest.raises(SystemExit):
        prepare.main()
    message = capsys.readouterr().err
    assert message.startswith("error: prepare.small: 14 image(s) have a side below prepare.image_size, 16: train/")
    assert message.endswith("; set it to mirror, or lower prepare.image_size\n")
    assert not Path("data/arrays").exists()


def test_an_image_of_another_size_than_validated_is_named(here, capsys, tmp_path, monkeypatch):
    shutil.copytree(here / "source", tmp_path / "source")
    (tmp_path / "data").mkdir()
    shutil.copy("data/manifest.parquet", tmp_path / "data")
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20)).save("source/train/fine/00.png")
    with pytest.raises(SystemExit):
        prepare.main()
    assert "1 file(s) changed since validate: train/fine/00.png" in capsys.readouterr().err
    assert list(Path("data/arrays").rglob("*")) == []


def test_crops_are_cut_on_a_cpu(here, capsys, tmp_path, monkeypatch):
    shutil.copytree(here / "data", tmp_path / "data")
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    Clone(tmp_path).edit("params.yaml", {"train.augment_on": "device"})
    with pytest.raises(SystemExit):
        train.main("three_cnn")
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: train.augment_on: crops of images at their own size (prepare.resize: native) are cut only on a CPU; "
        "set it to auto or cpu"
    )


@pytest.mark.parametrize(
    ("model", "ranges"),
    [
        ("lda", {"classifiers.lda.shrinkage": {"choices": [0.1, 0.5]}}),
        ("three_cnn", {"train.lr": {"choices": [0.001, 0.002]}}),
    ],
)
def test_a_search_scores_whole_images_or_crops_of_a_fold(here, tmp_path, monkeypatch, model, ranges):
    (tmp_path / "data").symlink_to(here / "data")
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scoring, "KEPT", feature_sets.FeatureSets())
    (tmp_path / "searches").mkdir()
    content = {"model": model, "trials": 1, "seed": 1, "folds": [0], "pruner": "none", "ranges": ranges}
    (tmp_path / "searches/it.yaml").write_text(json.dumps(content))
    plan = space.load(Path("searches/it.yaml"))
    with storage.opened(storage.location(None, tmp_path), trials.study_name(plan), tmp_path) as search:
        running.run(plan, search, 1, 1, print)
        (best,) = trials.best_trials(search.study)
    held_out = np.flatnonzero(trials.fold_numbers(params.load()) == 0)
    units = len(held_out)
    if model == "three_cnn":
        units = len(even_crops(load_split("train").images[held_out], SIDE, 3))
    assert best.value * units == pytest.approx(round(best.value * units))
    assert best.value > 0.4


def predict_one(model, file):
    return next(predict_files(model, [(file, None)]))


def test_the_command_predicts_and_draws_maps(here, capsys, monkeypatch):
    files = sorted(str(file) for file in Path("source/test/rough").glob("*.png"))
    options = ["--model", "lda", "--json", "--map", "maps"]
    monkeypatch.setattr(sys, "argv", ["fakeprint", "predict", *options, *files])
    main()
    predicted = json.loads(capsys.readouterr().out)["images"]
    stored = load_predictions("lda", CLASSES, "test", here / "data/predictions")
    expected = dict(zip(stored.image_ids, stored.probabilities, strict=True))
    for each in predicted:
        path = Path(each["image"])
        (wanted,) = (row for image_id, row in expected.items() if Path(image_id).stem == path.stem)
        np.testing.assert_allclose(list(each["probabilities"].values()), wanted, atol=1e-6)
        assert Path(each["map"]) == Path("maps") / path.name and Path(each["map"]).exists()


def test_models_learn_what_scaling_would_hide(here):
    for name in (*CLASSIFIERS, "average"):
        assert np.mean(load_predictions(name, CLASSES, "validation", here / "data/predictions").correct) > 0.9
    with Image.open("reports/average/mistakes.png") as image:
        assert min(image.size) > 100
