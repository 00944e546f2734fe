"""The fingerprint classifier through the stages: features, fit, predict, as a member of an ensemble, and served."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeprint.data.arrays import Dataset, save_dataset, save_index
from fakeprint.evaluation.predictions import load_predictions
from fakeprint.predict import load_model, predict_files
from stages import ensemble, features, fit, predict
from tests.pipeline.clones import Clone
from tests.samples import DEMO, index_rows

pytestmark = pytest.mark.slow

CLASSES = ["a", "b", "c"]
SIDE = 16
SIZES = {"train": 150, "validation": 60, "test": 6, "calibration": 0}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder in which the stages have run, and the validation images."""
    root = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        shutil.copy(DEMO, "params.yaml")
        changes = {
            "run.features": ["residual_image", "hsv_hist"],
            "run.classifiers": ["fingerprint", "lda"],
            "run.networks": [],
            "run.ensembles": ["average"],
            "run.workers": 1,
            "tracking.enabled": False,
            "classifiers.lda.features": ["hsv_hist"],
            "features.residual_image.border": 3,
            "classifiers.lda.augmented": False,
            "ensembles.average.members": ["fingerprint", "lda"],
        }
        Clone(root).edit("params.yaml", changes)
        save_dataset(Dataset(CLASSES, CLASSES, SIDE, "squash", 10**6))
        rng = np.random.default_rng(0)
        patterns = rng.choice([-6, 6], (3, SIDE, SIDE, 3))
        images = {}
        for split, count in SIZES.items():
            labels = np.arange(count) % 3
            pictures = 128 + patterns[labels] + rng.normal(0, 12, (count, SIDE, SIDE, 3))
            images[split] = np.clip(np.round(pictures), 0, 255).astype(np.uint8)
            np.save(f"data/arrays/{split}.npy", images[split])
            known = np.full(count, -1) if split == "test" else labels
            save_index(split, index_rows(known, CLASSES, split), CLASSES)
        (root / "data/augmented").mkdir()
        np.save("data/augmented/copies.npy", images["train"][:0])
        pd.DataFrame({"class": [], "parent_row": []}, dtype="int64").to_parquet("data/augmented/copies.parquet")
        for stage, name in (
            *((features, name) for name in ("residual_image", "hsv_hist")),
            *((stage, name) for stage in (fit, predict) for name in ("fingerprint", "lda")),
            (ensemble, "average"),
        ):
            patch.setattr(sys, "argv", [stage.__name__, name])
            stage.main()
        yield root, images["validation"]


def test_it_knows_the_classes_by_their_patterns(ran):
    loaded = load_predictions("fingerprint", CLASSES, "validation", ran[0] / "data/predictions")
    assert np.mean(loaded.correct) > 0.9
    np.testing.assert_allclose(loaded.probabilities.sum(axis=1), 1)
    colours = load_predictions("lda", CLASSES, "validation", ran[0] / "data/predictions")
    assert np.mean(colours.correct) < 0.6


def test_its_folder_holds_pictures_and_tables(ran):
    names = {path.name for path in (ran[0] / "models/fingerprint").iterdir()}
    assert {"classifier.skops", "model.json", "peaks.csv", "similarity.csv", "images_per_class.csv"} <= names
    for picture in [f"fingerprint_{number}" for number in range(3)] + ["similarity", "images_per_class"]:
        with Image.open(ran[0] / f"models/fingerprint/{picture}.png") as image:
            assert min(image.size) > 300


def test_files_are_served_as_arrays_are_predicted(ran, tmp_path):
    root, images = ran
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, image in zip(paths, images, strict=False):
        Image.fromarray(image).save(path)
    expected = load_predictions("fingerprint", CLASSES, "validation", root / "data/predictions").probabilities
    (served,) = predict_files(load_model(root / "models/fingerprint", workers=1), [(path, None) for path in paths])
    np.testing.assert_allclose(served.probabilities, expected[:4], atol=1e-6)


def test_it_is_a_member_like_any(ran):
    root, images = ran
    members = [
        load_predictions(name, CLASSES, "validation", root / "data/predictions").probabilities
        for name in ("fingerprint", "lda")
    ]
    served = load_model(root / "models/average", workers=1).probabilities(images)
    np.testing.assert_allclose(served, np.mean(members, axis=0), atol=1e-6)
