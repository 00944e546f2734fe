"""What the block `train` of params.yaml may say."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.errors import InputError
from tests.samples import DEMO


def loaded(**train: Any) -> params.Params:
    content = YAML(typ="safe").load(DEMO)
    content["train"].update(train)
    return params.parse(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup": 30.0}, "train: warmup (30 epochs) should not be longer than epochs (24)"),
        ({"min_lr": 0.1}, "train: min_lr, 0.1, is above lr, 0.002"),
        ({"swa": 0.5, "ema": 0.9, "early_stopping": 0}, "swa and ema both average the weights; set one of them to 0"),
        ({"swa": 0.5}, "swa averages the last epochs, which early_stopping may cut off; set early_stopping to 0"),
        (
            {"loss": "hinge", "label_smoothing": 0.1},
            "train: label_smoothing does not work with loss: hinge, which has no probabilities; set it to 0",
        ),
        ({"loss": "margin"}, "train.loss: input should be 'cross_entropy', 'focal' or 'hinge', not 'margin'"),
        (
            {"class_weights": "balance"},
            "train.class_weights: input should be 'none' or 'balanced' or a mapping, not 'balance'",
        ),
        ({"class_weights": {"a": -1.0}}, "train.class_weights"),
        ({"phases": [{"lrr": 1}]}, "train.phases[0].lrr is not a parameter; did you mean 'lr'?"),
        ({"phases": [{}, {"lr": -1}]}, "train.phases[1].lr: input should be greater than 0, not -1"),
        (
            {"phases": [{"device": "cpu"}]},
            "train.phases[0].device is the same in all phases; set it in the block `train`",
        ),
        (
            {"phases": [{"augment_on": "cpu"}]},
            "train.phases[0].augment_on is the same in all phases; set it in the block `train`",
        ),
        (
            {"augment_on": "gpu"},
            "train.augment_on: input should be 'auto', 'cpu' or 'device', not 'gpu'",
        ),
        (
            {"validate_every": 2},
            "train: validate_every, 2, leaves epochs without validation, and keep: best compares all of them; set keep "
            "to last",
        ),
        (
            {"validate_every": 2, "keep": "last"},
            "leaves epochs without validation, and early_stopping counts all of them; set early_stopping to 0",
        ),
        (
            {"validate_every": 2, "keep": "last", "early_stopping": 0, "schedule": "plateau"},
            "leaves epochs without validation, and schedule: plateau watches all of them; choose another schedule",
        ),
        ({"validate_every": 0}, "train.validate_every: input should be greater than 0, not 0"),
        ({"devices": 0}, "train.devices: input should be greater than 0, not 0"),
    ],
)
def test_what_it_may_not_say(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        loaded(**changes)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_networks_own_phases_are_named_as_its_own() -> None:
    content = YAML(typ="safe").load(DEMO)
    content["models"]["hist_cnn"]["train"] = {"phases": [{"epoch": 3}]}
    with pytest.raises(
        InputError, match=r"models\.hist_cnn\.train\.phases\[0\]\.epoch is not a parameter; did you mean"
    ):
        params.parse(content)


def test_a_phase_changes_what_it_names() -> None:
    train = loaded(phases=[{"epochs": 30, "transforms": {"flip": {"enabled": False}}}, {"lr": 0.25}]).train
    first, second = train.in_phases()
    assert (first.epochs, first.lr, first.transforms.flip.enabled, first.transforms.flip.p) == (30, 0.002, False, 0.5)
    assert (second.epochs, second.lr, second.transforms.flip.enabled) == (24, 0.25, True)
    assert loaded().train.in_phases() == [loaded().train]
