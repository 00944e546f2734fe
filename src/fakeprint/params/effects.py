"""Which parameters a model depends on, and which of them have an effect."""

from typing import Any

from fakeprint.params.params import Params

UNUSED_BY = {"sgd": ("eps",), "muon": ()}  # keys of `train`; of the other optimisers "momentum" and "nesterov"


def settings_of(params: Params, name: str, kind: str) -> dict[str, Any]:
    """A model's effective settings, with the options of its features; kind: "network", "classifier" or "ensemble"."""
    if kind == "network":
        return params.network(name).model_dump(exclude={"name", "pinned"})
    if kind == "ensemble":
        return params.ensembles[name].model_dump()
    settings = params.classifiers[name].model_dump()
    blocks = params.features.model_dump(include=set(settings["features"]))
    return {**settings, "feature": blocks}


def with_effect(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that have no effect: disabled transforms, momentum of Adam, patience of a cosine."""
    effective = {key: with_effect(value) if isinstance(value, dict) else value for key, value in settings.items()}
    if isinstance(effective.get("transforms"), dict):
        enabled = {name: block for name, block in effective["transforms"].items() if block.pop("enabled", True)}
        effective["transforms"] = enabled
    if "schedule" in effective:
        for key in _without_effect(effective):
            effective.pop(key, None)
    return effective


def _without_effect(train: dict[str, Any]) -> list[str]:
    """Keys of the block `train` that its other keys leave without effect."""
    unused = list(UNUSED_BY.get(str(train.get("optimiser")), ("momentum", "nesterov")))
    used_by = {
        "patience": ("plateau",),
        "plateau_on": ("plateau",),
        "factor": ("plateau", "step"),
        "step_epochs": ("step",),
        "min_lr": ("plateau", "cosine"),
    }
    unused += [key for key, schedules in used_by.items() if train["schedule"] not in schedules]
    unused += ["gamma"] if train.get("loss") != "focal" else []
    unused += ["mix_p"] if not (train.get("mixup") or train.get("cutmix")) else []
    return unused
