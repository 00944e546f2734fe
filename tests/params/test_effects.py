"""Which parameters a model depends on, and which of them have an effect."""

from typing import Any

import pytest

from fakeprint import params

SETTINGS = params.load("presets/demo.yaml")


def train(**changes: Any) -> dict[str, Any]:
    return params.with_effect({**SETTINGS.train.model_dump(), **changes})


@pytest.mark.parametrize(
    ("changes", "absent", "present"),
    [
        ({"optimiser": "adamw"}, {"momentum", "nesterov"}, {"eps"}),
        ({"optimiser": "sgd"}, {"eps"}, {"momentum", "nesterov"}),
        ({"optimiser": "muon"}, set(), {"momentum", "nesterov", "eps"}),
        ({"schedule": "cosine"}, {"patience", "plateau_on", "factor", "step_epochs"}, {"min_lr"}),
        ({"schedule": "plateau"}, {"step_epochs"}, {"patience", "plateau_on", "factor", "min_lr"}),
        ({"schedule": "step"}, {"patience", "plateau_on", "min_lr"}, {"factor", "step_epochs"}),
        ({"loss": "cross_entropy"}, {"gamma"}, set()),
        ({"loss": "focal"}, set(), {"gamma"}),
        ({"mixup": 0.0, "cutmix": 0.0}, {"mix_p"}, set()),
        ({"cutmix": 1.0}, set(), {"mix_p"}),
    ],
)
def test_what_other_keys_leave_without_effect_is_left_out(
    changes: dict[str, Any], absent: set[str], present: set[str]
) -> None:
    left = train(**changes)
    assert not absent & set(left)
    assert present <= set(left)


def test_disabled_transforms_are_left_out_and_others_lose_their_switch() -> None:
    transforms = train()["transforms"]
    assert set(transforms) == {"flip", "shift", "jpeg", "blur", "noise", "rescale"}
    assert transforms["jpeg"] == {"p": 0.1, "quality": (50, 96)}
    assert SETTINGS.train.transforms.jpeg.enabled


def test_settings_of_each_kind_of_model() -> None:
    lda = params.settings_of(SETTINGS, "lda", "classifier")
    assert set(lda["feature"]) == {"hsv_joint", "residual", "spectrum"}
    assert lda["feature"]["hsv_joint"] == {"bins": 8}
    hist_cnn = params.settings_of(SETTINGS, "hist_cnn", "network")
    assert set(hist_cnn) == {"model", "options", "train"}
    assert (hist_cnn["options"]["bins"], hist_cnn["model"]["dropout"]) == (16, 0.2)
    assert params.settings_of(SETTINGS, "average", "ensemble")["members"] == ["lda", "svm_rbf", "hist_cnn", "three_cnn"]
