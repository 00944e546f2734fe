"""From params.yaml to the parts of a training: every key reaches a part."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakeprint
from fakeprint import params
from fakeprint.params import NetworkSettings, Train
from fakeprint.training.images import Images
from fakeprint.training.recipe import Recipe, build_recipe
from tests.samples import DEMO

IMAGES = Images([np.full((4, 16, 16, 3), 51, np.uint8)], np.array([0, 0, 0, 1]))
OTHER: dict[str, Any] = {
    "epochs": 99,
    "batch_size": 98,
    "accumulate": 3,
    "optimiser": "sgd",
    "lr": 0.25,
    "weight_decay": 0.125,
    "decay_norms": False,
    "momentum": 0.25,
    "nesterov": False,
    "eps": 0.5,
    "clip": 2.0,
    "schedule": "none",
    "warmup": 0.25,
    "patience": 97,
    "plateau_on": "loss",
    "factor": 0.25,
    "step_epochs": 96,
    "min_lr": 1e-9,
    "early_stopping": 95,
    "keep": "last",
    "validate_every": 93,
    "loss": "hinge",
    "label_smoothing": 0.25,
    "class_weights": "balanced",
    "mixup": 0.25,
    "cutmix": 0.25,
    "mix_p": 0.25,
    "ema": 0.25,
    "swa": 0.25,
    "clean_norm": True,
    "freeze": 94,
    "sampling": "balanced",
    "compile": True,
    "one_degradation": False,
    "second_degradation": 0.25,
    "interpolation": "nearest",
    "fill": "black",
}
# Of the whole training: where and on what it computes, and its seed. Phases are parts of their own.
RUN_WIDE = {"seed", "phases", "deterministic", "devices", "device", "precision", "augment_on", "augmented"}


def settings(**train: Any) -> NetworkSettings:
    chosen = params.load(DEMO).network("three_cnn")
    return chosen.model_copy(update={"train": chosen.train.model_copy(update=train)})


def recipe(**train: Any) -> Recipe:
    return build_recipe(settings(**train), IMAGES, ["a", "b"], 7)


def parts(given: Recipe) -> str:
    return repr(given.phases)


@pytest.mark.parametrize("key", sorted(Train.model_fields.keys() - RUN_WIDE - {"gamma", "transforms"}))
def test_every_key_of_train_reaches_a_part(key: str) -> None:
    assert getattr(settings().train, key) != OTHER[key], "the case must change something"
    assert parts(recipe(**{key: OTHER[key]})) != parts(recipe())


def test_keys_that_need_others() -> None:
    assert parts(recipe(loss="focal", gamma=0.25)) != parts(recipe(loss="focal", gamma=0.5))
    transforms = settings().train.transforms
    turned = transforms.model_copy(update={"flip": transforms.flip.model_copy(update={"p": 0.125})})
    assert parts(recipe(transforms=turned)) != parts(recipe())


def test_phases_have_parts_of_their_own() -> None:
    first, second = recipe(phases=[{"lr": 0.5}, {"epochs": 3, "ema": 0.5}]).phases
    assert (first.optimiser.lr, first.schedule.lr, first.averaging.ema) == (0.5, 0.5, settings().train.ema)
    assert (second.epochs, second.schedule.epochs, second.averaging.ema) == (3, 3, 0.5)
    assert second.optimiser.lr == settings().train.lr


def test_what_the_whole_training_has_in_common() -> None:
    changed = recipe(augment_on="device", deterministic=True)
    assert (changed.augment_on, changed.deterministic, changed.purpose) == ("device", True, "train/three_cnn")
    assert changed.identity != recipe().identity
    own = params.load(DEMO).network("three_cnn").model_copy(update={"pinned": ["model.dropout", "train.lr"]})
    pinned = build_recipe(own, IMAGES, ["a", "b"], 7).pinned
    assert pinned == {"model.dropout": own.model.dropout, "train.lr": own.train.lr}
    assert build_recipe(own, IMAGES, ["a", "b"], 7).identity == recipe().identity  # who set a value decides nothing


def test_the_network_gets_size_and_colours_of_the_images() -> None:
    chosen = settings()
    by_dataset = chosen.model_copy(update={"model": chosen.model.model_copy(update={"normalisation": "dataset"})})
    copies = Images([*IMAGES.parts, 255 - IMAGES.parts[0]], np.tile(IMAGES.labels, 2))  # stored ones do not count
    design = build_recipe(by_dataset, copies, ["a", "b"], 7).design
    assert (design.classes, design.image_size) == (2, 16)
    assert design.channel_mean == pytest.approx((0.2, 0.2, 0.2))
    assert recipe().design.channel_mean is None


def test_settings_enter_training_in_one_place() -> None:
    folder = Path(fakeprint.__file__).parent / "training"
    readers = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings":
                readers.add(path.name)
            if isinstance(node, ast.ImportFrom) and node.module == "fakeprint.params":
                readers |= {path.name for alias in node.names if alias.name in ("Train", "Params")}
    assert readers == {"recipe.py"}
