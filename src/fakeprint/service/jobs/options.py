"""What a fit may be given: presets and a whitelist of parameters, and params.yaml made of them.

No path, no place to run and nothing that is fetched from elsewhere is among them.
"""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fakeprint import params
from fakeprint.errors import InputError, printable
from fakeprint.params import Data, Model, Train, suggestion
from fakeprint.params.schema import schema
from fakeprint.presets import overlaid, overlaid_content
from fakeprint.service import sources
from fakeprint.service.jobs import pipeline
from fakeprint.service.schemas import FitOptions, FitRequest
from fakeprint.service.settings import Settings

DEMO = "small models that a laptop fits in minutes; choose others with run.networks and run.classifiers"
# Where training runs and how fast is the service's affair; phases and transforms are nested too deeply for one value.
NOT_OF_TRAIN = {"device", "devices", "precision", "augment_on", "compile", "deterministic", "phases", "transforms"}
ALLOWED: dict[str, tuple[str, ...]] = {
    "run": ("features", "classifiers", "networks", "ensembles"),
    "data": (
        *("group_column", "generator_column", "class_names", "real_classes"),
        *("validation_fraction", "test_fraction", "per_class"),
    ),
    "validate": ("max_bad_fraction", "near_duplicate_bits", "on_leak", "on_shortcut", "on_trace", "sample_images"),
    "prepare": ("image_size", "resize", "small", "train_crops"),
    "augment": ("copies", "one_degradation", "second_degradation", "interpolation", "fill"),
    "model": tuple(Model.model_fields),
    "train": tuple(name for name in Train.model_fields if name not in NOT_OF_TRAIN),
    "predict": ("tta", "shift", "crops", "crop_choice"),
    "calibrate": ("method", "folds"),
    "decide": ("max_error", "confidence", "set_error", "unknown", "consistency"),
}
NAMES = ("seed", *(f"{block}.{key}" for block, keys in ALLOWED.items() for key in keys))
REGISTERED = "fakeprint-jobs"  # in MLflow's registry: a job's champion takes no alias from that of the repository


def options(preset: str = "demo") -> FitOptions:
    """What `GET /fit/options` tells. preset: whose values are the defaults.

    Raises:
        InputError: there is no preset of this name.
    """
    content = params.parse(overlaid_content(_preset(preset), demo=_preset("demo")), preset)
    known = content.model_dump(mode="json", by_alias=True)
    properties, kinds = schema()["properties"], schema()["$defs"]
    described = {"seed": properties["seed"] | {"default": known["seed"]}}
    for block, keys in ALLOWED.items():
        fields = kinds[properties[block]["$ref"].rpartition("/")[2]]["properties"]
        described |= {f"{block}.{key}": fields[key] | {"default": known[block][key]} for key in keys}
    return FitOptions(presets={name: _about(file) for name, file in pipeline.presets().items()}, parameters=described)


def params_text(request: FitRequest, source: Path, settings: Settings) -> str:
    """The params.yaml of a fit.

    Args:
        request: preset, parameters and title.
        source: the folder of the data set.
        settings: of the service.

    Raises:
        InputError: an unknown preset, a parameter that is not allowed, or a value that params refuses, in its words.
    """
    preset = _preset(request.preset)
    for name in request.parameters:
        if name not in NAMES:
            raise InputError(f"parameters: '{printable(name)}' cannot be set{suggestion(name, NAMES)}"[:1000])
    title = printable(request.title or "data set")
    data = sources.data_of(source, title, max_pixels=min(settings.max_pixels, Data.model_fields["max_pixels"].default))
    # of a preset's own data nothing stays: its labels and columns are others
    tracking = {"enabled": True, "experiment": "fakeprint", "register": True, "registered_name": REGISTERED}
    values: list[dict[str, Any]] = [{"data": data.model_dump(mode="json"), "tracking": tracking}]
    if settings.device != "auto":
        values.append({"train": {"device": settings.device}})
    values += [_nested(name, value) for name, value in request.parameters.items()]
    try:
        text = overlaid(preset, None, [], values, _preset("demo"))
        parsed = params.parse(YAML(typ="safe").load(text), "parameters")
    except RecursionError:
        raise InputError("parameters: the values are nested too deeply") from None
    except YAMLError:
        raise InputError("parameters: a value has characters that YAML does not allow") from None
    params.require_stated(parsed, "parameters")
    if any(name.startswith("data.") for name in request.parameters):
        sources.open_prepared(source, parsed.data, "the data set")
    return text


def _nested(name: str, value: Any) -> dict[str, Any]:
    block, _, key = name.rpartition(".")
    return {block: {key: value}} if block else {key: value}


def _preset(name: str) -> Path:
    known = pipeline.presets()
    if name not in known:
        raise InputError(f"there is no preset '{printable(name)}'{suggestion(name, known)}")
    return known[name]


def _about(file: Path) -> str:
    """The first sentence of a preset's comment."""
    if file.stem == "demo":
        return DEMO
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in lines[: lines.index("")])
    return re.split(r"(?<=\.)\s", comment)[0]
