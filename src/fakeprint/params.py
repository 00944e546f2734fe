"""What params.yaml may say: typed, frozen, validated. An unknown key is an error that names the nearest known one."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fakeprint.errors import InputError

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


Item = TypeVar("Item")


def _without_repeats(items: list[Item]) -> list[Item]:
    for number, item in enumerate(items):
        if item in items[:number]:
            raise ValueError(f"{item} stands more than once; take the repeat out")
    return items


Distinct = Annotated[list[Item], AfterValidator(_without_repeats)]


def _a_whole_number(value: Any) -> Any:
    if type(value) is not int:
        raise ValueError(f"{_as_yaml(value)} is not a whole number")
    return value


Whole = BeforeValidator(_a_whole_number)  # for a Literal of numbers, which takes true for 1

DEMO = "presets/demo.yaml"  # params.yaml as the repository comes

# A model's name is a folder, a word of a shell command and part of an MLflow filter.
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# What stands beside the models in models/, metrics/, reports/ and data/, or means something in a command.
RESERVED = ("champion", "demo", "leaderboard", "robustness", "validate")

WEIGHTS = "data/weights"  # the folder of weights files: DVC hashes it, and with it what a file holds


def _weights_that_dvc_sees(weights: str) -> str:
    parts = PurePosixPath(weights).parts
    inside = parts[:2] == PurePosixPath(WEIGHTS).parts and len(parts) > 2 and ".." not in parts
    if weights not in ("default", "lite0") and not inside:
        raise ValueError(
            f"'{weights}' is neither default, lite0 nor a file in {WEIGHTS}/; copy it there, where DVC sees it change"
        )
    return weights


Weights = Annotated[str, AfterValidator(_weights_that_dvc_sees)]


class Block(BaseModel):
    """A block of params.yaml: unknown keys refused, types taken as they are written, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _pairs_are_lists_in_yaml(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        pairs = [key for key, field in cls.model_fields.items() if get_origin(field.annotation) is tuple]
        return content | {key: tuple(content[key]) for key in pairs if isinstance(content.get(key), list)}


class Run(Block):
    features: Distinct[str]
    classifiers: Distinct[str]
    networks: Distinct[str]
    ensembles: Distinct[str]
    workers: Count | None = None
    backend: Literal["processes", "dask", "ray"] = "processes"
    scheduler: str | None = None

    @model_validator(mode="after")
    def _scheduler_of_a_backend(self) -> Self:
        if self.scheduler is not None and self.backend == "processes":
            raise ValueError("scheduler has no effect with backend: processes; set that to dask or ray")
        return self

    @property
    def models(self) -> list[str]:
        """Every model that runs: classifiers, networks, then ensembles."""
        return [*self.classifiers, *self.networks, *self.ensembles]


class Data(Block):
    title: str
    path: str
    layout: Literal["csv", "folders"]
    image_column: str = "image_id"
    label_column: str = "label"
    group_column: str | None = None
    generator_column: str | None = None
    class_names: dict[str | int, str] = {}
    real_classes: list[str | int] | None = None
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    per_class: Count | dict[str, Count] | None = None
    max_pixels: Annotated[int, Field(ge=1, le=178_956_970)] = 50_000_000  # Pillow itself opens none larger

    @model_validator(mode="after")
    def _columns_of_a_csv(self) -> Self:
        for key in ("group_column", "generator_column"):
            if getattr(self, key) is not None and self.layout != "csv":
                raise ValueError(f"{key} has no effect with layout: {self.layout}; set it to null")
        if self.group_column == self.label_column:
            raise ValueError(f"group_column and label_column are both {self.label_column}: a class would be one group")
        return self

    @field_validator("per_class", mode="before")
    @classmethod
    def _a_number_a_split(cls, value: Any) -> Any:
        for split, count in value.items() if isinstance(value, dict) else ():
            if split not in ("train", "validation", "test"):
                raise ValueError(f"'{split}' is no split{near(str(split), ('train', 'validation', 'test'))}")
            if not isinstance(count, int) or count < 1:
                raise ValueError(f"{split} should be a number of images, 1 or more, not {count!r}")
        return value


class Validate(Block):
    max_bad_fraction: Fraction
    near_duplicate_bits: Annotated[int, Field(ge=0, le=16)]
    max_shortcut_excess: Fraction
    on_shortcut: Literal["warn", "stop"]
    on_trace: Literal["tell", "warn", "stop"] = "tell"
    on_leak: Literal["warn", "stop", "drop"] = "warn"
    sample_images: Count


class Prepare(Block):
    image_size: Annotated[int, Field(ge=16, le=1024)]
    resize: Literal["squash", "crop"]
    fold: Annotated[int, Field(ge=0)] | None = None
    folds: Annotated[int, Field(ge=2, le=100)] = 5

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds: they are counted from 0 to {self.folds - 1}")
        return self


Degrees = Annotated[float, Field(ge=-180, le=180)]
Share = Annotated[float, Field(ge=-1, le=1)]
Factor = Annotated[float, Field(ge=0.05, le=10)]
Quality = Annotated[int, Field(ge=1, le=100)]
Sigma = Annotated[float, Field(ge=0, le=128)]


class Transform(Block):
    """One transform's switch, its probability an image, and (in subclasses) the range its strength is drawn from."""

    enabled: bool
    p: Fraction

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"the lower bound of {name}, {value[0]}, is above its upper bound, {value[1]}")
        return self


class Rotation(Transform):
    degrees: tuple[Degrees, Degrees]


class Shift(Transform):
    fraction: tuple[Share, Share]


class Scaling(Transform):
    factor: tuple[Factor, Factor]


class Crop(Transform):
    fraction: tuple[Annotated[float, Field(ge=0.1, le=1)], Annotated[float, Field(ge=0.1, le=1)]]


class Hue(Transform):
    degrees: tuple[Degrees, Degrees]


class Jpeg(Transform):
    quality: tuple[Quality, Quality]


class Spread(Transform):
    sigma: tuple[Sigma, Sigma]


class Rescale(Transform):
    factor: tuple[Annotated[float, Field(ge=0.05, le=1)], Annotated[float, Field(ge=0.05, le=1)]]


class Erasing(Transform):
    fraction: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
    fill: Literal["random", "mean"]


class Transforms(Block):
    """Each transform's switch and range, in the order in which they are applied."""

    flip: Transform
    rotation: Rotation
    shift: Shift
    zoom: Scaling
    crop: Crop
    brightness: Scaling
    contrast: Scaling
    saturation: Scaling
    hue: Hue
    jpeg: Jpeg
    blur: Spread
    noise: Spread
    rescale: Rescale
    webp: Jpeg = Jpeg(enabled=False, p=0.25, quality=(50, 96))
    erasing: Erasing = Erasing(enabled=False, p=0.25, fraction=(0.02, 0.2), fill="random")


Interpolation = Literal["bicubic", "bilinear", "nearest"]
Fill = Literal["reflect", "edge", "black"]


class Augment(Block):
    copies: Annotated[int, Field(ge=0, le=20)]
    one_degradation: bool = True
    interpolation: Interpolation = "bicubic"
    fill: Fill = "reflect"
    transforms: Transforms


class Histogram(Block):
    bins: Annotated[int, Field(ge=2, le=32)]


class Pixels(Block):
    size: Annotated[int, Field(ge=4, le=256)]


class Residual(Block):
    truncation: Annotated[int, Field(ge=1, le=4)]
    orders: Distinct[Annotated[Literal[1, 2, 3], Whole]] = Field(min_length=1)
    steps: Distinct[Annotated[int, Field(ge=1, le=32)]] = Field(min_length=1)
    joint: bool
    opponent: bool
    srm: bool


class Spectrum(Block):
    bins: Annotated[int, Field(ge=4, le=256)]


class BackboneFeatures(Block):
    architecture: Annotated[str, Field(pattern=r"^timm:\S+$")]
    weights: Weights
    input_size: Annotated[int, Field(ge=16, le=1024)] | None = None


class Features(Block):
    """One block a feature set; its name is the name of the set in `fakeprint.features`."""

    rgb_hist: Histogram | None = None
    hsv_hist: Histogram | None = None
    hsv_joint: Histogram | None = None
    pixels: Pixels | None = None
    residual: Residual | None = None
    spectrum: Spectrum | None = None
    backbone: BackboneFeatures | None = None


class Classifier(Block):
    """What every classical classifier has: its features, concatenated, and what is done to them before fitting."""

    features: Distinct[str] = Field(min_length=1)
    scale: Literal["none", "sqrt", "standard", "sqrt_standard"]
    augmented: bool


class KNN(Classifier):
    method: Literal["knn"]
    k: Distinct[Count] = Field(min_length=1)
    metrics: Distinct[Literal["l1", "l2"]] = Field(min_length=1)


class Logistic(Classifier):
    method: Literal["logistic"]
    C: Annotated[float, Field(gt=0)]


class LinearSVM(Classifier):
    method: Literal["svm_linear"]
    C: Annotated[float, Field(gt=0)]
    loss: Literal["squared_hinge", "hinge"] = "squared_hinge"


class RBFSVM(Classifier):
    method: Literal["svm_rbf"]
    C: Annotated[float, Field(gt=0)]
    gamma: Literal["scale"] | Annotated[float, Field(gt=0)]
    approximation: Literal["auto", "exact", "nystroem"] = "auto"
    components: Annotated[int, Field(ge=2, le=10_000)] = 2000


class LDA(Classifier):
    method: Literal["lda"]
    shrinkage: Literal["auto"] | Fraction


class Boosting(Classifier):
    method: Literal["boosting"]
    iterations: Count
    lr: Annotated[float, Field(gt=0, le=1)]
    leaves: Annotated[int, Field(ge=2)]
    rows: Count | None = None


class Forest(Classifier):
    method: Literal["forest"]
    trees: Count
    rows: Count | None = None


AnyClassifier = Annotated[KNN | Logistic | LinearSVM | RBFSVM | LDA | Boosting | Forest, Field(discriminator="method")]

Dropout = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[float, Field(gt=0, le=4)]
Normalisation = Literal["unit", "signed", "imagenet", "dataset"]
Side = Annotated[int, Field(ge=8, le=1024)]
Activation = Literal["relu", "leaky_relu", "gelu", "silu"]
Norm = Literal["batch", "group", "none"]
Head = Literal["pool", "flatten"]
DropoutAt = Literal["head", "blocks", "both"]


class Model(Block):
    """What every network shares; None = as the network was published."""

    dropout: Dropout
    width: Width
    normalisation: Normalisation
    input_size: Side | None = None
    activation: Activation | None = None
    norm: Norm | None = None
    head: Head | None = None
    dropout_at: DropoutAt | None = None


class Network(Block):
    """One network's overrides of `model` and `train`; None = what the shared block says."""

    dropout: Dropout | None = None
    width: Width | None = None
    normalisation: Normalisation | None = None
    input_size: Side | None = None
    activation: Activation | None = None
    norm: Norm | None = None
    head: Head | None = None
    dropout_at: DropoutAt | None = None
    train: dict[str, Any] = {}


Framework = Literal["torch", "keras"]


class HistCNN(Network):
    bins: Annotated[int, Field(ge=2, le=64)] = 16
    framework: Framework = "torch"


class FourCNN(Network):
    framework: Framework = "keras"


class ThreeCNN(Network):
    dilation: Annotated[int, Field(ge=1, le=4)] = 1


class TraceNet(Network):
    high_pass: bool = True
    histogram_bins: Annotated[int, Field(ge=0, le=64)] = 0
    blocks: Annotated[int, Field(ge=1, le=4)] = 1


class SkipCNN(Network):
    residual: bool = True


Channels = Annotated[int, Field(ge=8, le=1024, multiple_of=8)]


class TwoCNN(Network):
    out1: Channels = 64
    out2: Channels = 128
    kernel: Annotated[Literal[1, 3, 5, 7, 9, 11], Whole] = 5


class FixedLayers(Network):
    """A network that a library builds, of one size."""

    @model_validator(mode="after")
    def _no_width(self) -> Self:
        if self.width is not None:
            raise ValueError("width has no effect on a network that a library builds; take it out")
        return self


class LibraryNetwork(FixedLayers):
    """A network of torchvision or timm; weights: None, "default", "lite0", or a file in `WEIGHTS`."""

    weights: Weights | None = None


class AlexNetRNN(LibraryNetwork):
    cell: Literal["lstm", "gru"] = "lstm"
    hidden: Annotated[int, Field(ge=1, le=4096)] = 256


class ViT(FixedLayers):
    patch: Annotated[int, Field(ge=2, le=64)] = 16
    dim: Annotated[int, Field(ge=8, le=2048)] = 192
    depth: Annotated[int, Field(ge=1, le=48)] = 12
    heads: Annotated[int, Field(ge=1, le=64)] = 3

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")
        return self


class ViTPretrained(LibraryNetwork):
    size: Literal["base", "small", "tiny"] = "base"


TimmName = Annotated[str, Field(pattern=r"^timm:\S+$")]


class Timm(LibraryNetwork):
    architecture: TimmName = "timm:resnet18"


class Backbone(LibraryNetwork):
    architecture: TimmName = "timm:tf_efficientnet_lite0"


class Models(Block):
    """One block a network; its name is the name of the network's file in `fakeprint.models.networks`."""

    hist_cnn: HistCNN | None = None
    three_cnn: ThreeCNN | None = None
    trace_net: TraceNet | None = None
    four_cnn: FourCNN | None = None
    skip_cnn: SkipCNN | None = None
    attention_cnn: Network | None = None
    two_cnn: TwoCNN | None = None
    five_cnn: Network | None = None
    alexnet: LibraryNetwork | None = None
    alexnet_rnn: AlexNetRNN | None = None
    vgg16: LibraryNetwork | None = None
    xception: LibraryNetwork | None = None
    resnet18: LibraryNetwork | None = None
    densenet121: LibraryNetwork | None = None
    vit: ViT | None = None
    vit_pretrained: ViTPretrained | None = None
    backbone: Backbone | None = None
    timm: Timm | None = None


class Train(Block):
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    accumulate: Count = 1
    optimiser: Literal["adam", "adamw", "sgd"]
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    decay_norms: bool = True
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool = True
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-8
    clip: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["plateau", "cosine", "one_cycle", "step", "none"]
    warmup: Annotated[float, Field(ge=0)] = 0.0
    patience: Annotated[int, Field(ge=0)]
    plateau_on: Literal["accuracy", "loss"] = "accuracy"
    factor: Annotated[float, Field(gt=0, lt=1)]
    step_epochs: Count = 10
    min_lr: Annotated[float, Field(ge=0)] = 0.0
    early_stopping: Annotated[int, Field(ge=0)]
    keep: Literal["best", "last"] = "best"
    loss: Literal["cross_entropy", "focal", "hinge"] = "cross_entropy"
    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weights: Literal["none", "balanced"] | dict[str | int, Annotated[float, Field(ge=0)]] = "none"
    mixup: Annotated[float, Field(ge=0)] = 0.0
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    mix_p: Fraction = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    swa: Annotated[float, Field(ge=0, lt=1)] = 0.0
    freeze: Annotated[int, Field(ge=0)] = 0
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    phases: list[dict[str, Any]] = []
    compile: bool = False
    deterministic: bool = False
    devices: Count = 1
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "fp32", "bf16"]
    augment_on: Literal["auto", "cpu", "device"] = "auto"
    augmented: bool
    one_degradation: bool = True
    interpolation: Interpolation = "bicubic"
    fill: Fill = "reflect"
    transforms: Transforms

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if self.warmup > self.epochs:
            raise ValueError(f"warmup takes {self.warmup:g} epochs of {self.epochs}; lower it")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr, {self.min_lr:g}, is above lr, {self.lr:g}")
        if self.loss == "hinge" and self.label_smoothing:
            raise ValueError(
                "label_smoothing has no meaning for loss: hinge, which knows no probabilities; set it to 0"
            )
        if self.swa and self.ema:
            raise ValueError("swa and ema both average the weights; set one of them to 0")
        if self.swa and self.early_stopping:
            raise ValueError("swa averages the last epochs, which early_stopping may cut off; set early_stopping to 0")
        return self

    def in_phases(self, prefix: str = "train") -> "list[Train]":
        """Each phase's settings: these, with its overrides; these alone where no phases are named. Raises InputError.

        prefix: where the block stands in params.yaml, for the message.
        """
        if not self.phases:
            return [self]
        shared = {**self.model_dump(), "phases": []}
        return [_phase(shared, overrides, f"{prefix}.phases[{number}]") for number, overrides in enumerate(self.phases)]


class Predict(Block):
    tta: Literal["none", "flip", "flip_shift"] = "none"
    shift: Annotated[int, Field(ge=1, le=32)] = 2


# What all phases of a training run have in common.
RUN_WIDE = ("augment_on", "augmented", "compile", "deterministic", "device", "devices", "phases", "precision")


def _phase(shared: dict[str, Any], overrides: dict[str, Any], prefix: str) -> Train:
    for key in RUN_WIDE:
        if key in overrides:
            raise InputError(f"{prefix}.{key} is the same in all phases; set it in the block `train`")
    return validated(Train, _merged(shared, overrides), prefix=prefix, name="")


class Ensemble(Block):
    """What every ensemble has; folds: of the validation images, where something is fitted on them."""

    members: Distinct[str] = Field(min_length=1)
    folds: Annotated[int, Field(ge=2, le=100)] = 5


class Average(Ensemble):
    method: Literal["average"]
    weights: list[Annotated[float, Field(ge=0)]] = []
    calibrate: bool = False

    @model_validator(mode="after")
    def _one_weight_a_member(self) -> Self:
        if self.weights and len(self.weights) != len(self.members):
            raise ValueError(f"{len(self.weights)} weights for {len(self.members)} members")
        if self.weights and not sum(self.weights):
            raise ValueError("the weights are all 0")
        return self


class Greedy(Ensemble):
    method: Literal["greedy"]
    by: Literal["log_loss", "accuracy"] = "log_loss"
    rounds: Annotated[int, Field(ge=1, le=1000)] = 30
    calibrate: bool = False


class Stacking(Ensemble):
    method: Literal["stacking"]
    C: Annotated[float, Field(gt=0)] = 0.01


class Learned(Ensemble):
    method: Literal["learned"]
    epochs: Count = 80
    batch_size: Count = 4
    lr: Annotated[float, Field(gt=0)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    patience: Annotated[int, Field(ge=0)] = 5
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    early_stopping: Annotated[int, Field(ge=0)] = 5
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    dropout: Dropout = 0.5
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2


AnyEnsemble = Annotated[Average | Greedy | Stacking | Learned, Field(discriminator="method")]


# The transforms of `augment` that the robustness grid may use, with their lowest and highest strength.
STRENGTHS: dict[str, tuple[float, float]] = {
    "rotation": (-180, 180),
    "zoom": (0.05, 10),
    "crop": (0.1, 1),
    "brightness": (0.05, 10),
    "contrast": (0.05, 10),
    "saturation": (0.05, 10),
    "hue": (-180, 180),
    "jpeg": (1, 100),
    "blur": (0, 128),
    "noise": (0, 128),
    "rescale": (0.05, 1),
    "webp": (1, 100),
}


class Robustness(Block):
    models: Distinct[str] = []
    grid: dict[str, dict[str, float]] = {}

    @model_validator(mode="after")
    def _degradations_exist(self) -> Self:
        for cell, steps in self.grid.items():
            if not re.fullmatch(r"[\w.-]+", cell) or cell in ("clean", "worst"):
                raise ValueError(
                    f"grid: '{cell}' cannot name a degradation; letters, digits, '_', '.' and '-' can, "
                    "clean and worst have a meaning of their own"
                )
            if not steps:
                raise ValueError(f"grid.{cell} does nothing; name a transform and its strength, as in {{jpeg: 75}}")
            for name, strength in steps.items():
                if name not in STRENGTHS:
                    raise ValueError(f"grid.{cell}: '{name}' is unknown{near(name, STRENGTHS)}")
                low, high = STRENGTHS[name]
                if not low <= strength <= high:
                    raise ValueError(f"grid.{cell}.{name} should be from {low:g} to {high:g}, not {strength:g}")
        return self


class Evaluate(Block):
    calibration_bins: Count
    mistakes: Annotated[int, Field(ge=0)]


class Compare(Block):
    confidence: Annotated[float, Field(gt=0, lt=1)]


class Submit(Block):
    model: str


class Tracking(Block):
    enabled: bool
    experiment: str = Field(min_length=1)


class NetworkSettings(Block):
    """A network's effective settings: its own where it pins them, the shared ones elsewhere.

    `options` holds what only this network has (bins, dilation); `pinned` the keys that the shared blocks do not reach,
    as `"model.dropout"` or `"train.lr"`.
    """

    name: str
    model: Model
    options: dict[str, Any]
    train: Train
    pinned: list[str]


class Params(Block):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    run: Run
    data: Data
    validate_: Validate = Field(alias="validate")
    prepare: Prepare
    augment: Augment
    features: Features
    classifiers: dict[str, AnyClassifier]
    model: Model
    models: Models
    train: Train
    predict: Predict = Predict()
    ensembles: dict[str, AnyEnsemble]
    robustness: Robustness = Robustness()
    evaluate: Evaluate
    compare: Compare
    submit: Submit
    tracking: Tracking

    @model_validator(mode="after")
    def _every_model_has_a_name_of_its_own(self) -> Self:
        for block, names in (("classifiers", self.classifiers), ("ensembles", self.ensembles)):
            for name in names:
                if not NAME.fullmatch(name):
                    raise ValueError(
                        f"{block}: {name!r} cannot be a name; a-z, 0-9 and '_' can be in one, a letter comes first, "
                        "64 characters at most"
                    )
                if name in RESERVED:
                    raise ValueError(f"{block}: '{name}' has a meaning of its own; choose another name")
        networks = [name for name in Models.model_fields if getattr(self.models, name) is not None]
        every = [*self.classifiers, *networks, *self.ensembles]
        twice = sorted({name for name in every if every.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]} names two models; in classifiers, models and ensembles each has its own name")
        return self

    @model_validator(mode="after")
    def _what_runs_exists(self) -> Self:
        features = [name for name in Features.model_fields if getattr(self.features, name) is not None]
        networks = [name for name in Models.model_fields if getattr(self.models, name) is not None]
        _require_known("run.features", self.run.features, features)
        _require_known("run.classifiers", self.run.classifiers, self.classifiers)
        _require_known("run.networks", self.run.networks, networks)
        _require_known("run.ensembles", self.run.ensembles, self.ensembles)
        for name in self.run.classifiers:
            _require_known(f"classifiers.{name}.features", self.classifiers[name].features, self.run.features)
        every = [*self.classifiers, *Models.model_fields]
        for name in self.run.ensembles:
            _require_known(f"ensembles.{name}.members", self.ensembles[name].members, every)
        if self.predict.shift >= self.prepare.image_size:
            raise ValueError(f"predict.shift should be less than prepare.image_size, not {self.predict.shift}")
        _require_known("robustness.models", self.robustness.models, self.run.models)
        if self.submit.model != "champion":
            _require_known("submit.model", [self.submit.model], ["champion", *self.run.models])
        self.train.in_phases()
        for name in networks:
            self.network(name)
        return self

    @property
    def title(self) -> str:
        """What reports say the figures are of: the data's title, and the fold where one stands in for validation."""
        if self.prepare.fold is None:
            return self.data.title
        return f"{self.data.title}, fold {self.prepare.fold} of {self.prepare.folds} of train"

    def network(self, name: str) -> NetworkSettings:
        """The effective settings of one network. Raises InputError for a key of its own that is unknown or wrong."""
        own = getattr(self.models, name).model_dump()
        own_train = own.pop("train")
        shared = self.model.model_dump()
        model = Model(**{key: shared[key] if own[key] is None else own[key] for key in shared})
        pinned = [f"model.{key}" for key in shared if own[key] is not None]
        pinned += [f"train.{key}" for key in own_train]
        train = validated(Train, _merged(self.train.model_dump(), own_train), prefix=f"models.{name}.train", name="")
        train.in_phases(f"models.{name}.train")
        options = {key: value for key, value in own.items() if key not in shared}
        return NetworkSettings(name=name, model=model, options=options, train=train, pinned=pinned)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, blocks within blocks merged too."""
    both = {key: _merged(base[key], value) for key, value in over.items() if isinstance(base.get(key), dict)}
    return {**base, **over, **both}


def unstated(block: Block, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each key below `block` that params.yaml leaves to its default, and that default.

    DVC sees params.yaml and not the defaults: one that changes would change results and rerun nothing. What a network
    inherits from `model` and `train` is stated there; a block that is left out does not run.
    """
    inherited = {*Model.model_fields, "train"} if isinstance(block, Network) else set()
    for name, field in type(block).model_fields.items():
        value, key = getattr(block, name), f"{prefix}{field.alias or name}"
        if (
            name not in block.model_fields_set
            and name not in inherited
            and not _is_absent_block(field.annotation, value)
        ):
            yield key, value
        for inner_key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            if name in block.model_fields_set and isinstance(inner, Block):
                yield from unstated(inner, f"{key}.{inner_key}.".replace("..", "."))


def require_stated(params: Params, name: str = "params.yaml") -> None:
    """Raise InputError where the file `name` leaves a key to its default."""
    missing = list(unstated(params))
    if missing:
        (key, default), more = missing[0], f" (and {len(missing) - 1} more)" * (len(missing) > 1)
        if isinstance(default, Block):
            default = default.model_dump()
        mend = f"{DEMO} states every key"
        if name == "params.yaml":
            mend = f"write it there, or `python -m fakeprint use {name}` takes what is missing from {DEMO}"
        raise InputError(
            f"{name}: {key} is not stated, and DVC sees no default; its default is {json.dumps(default)}; {mend}{more}"
        )


def _is_absent_block(annotation: Any, value: Any) -> bool:
    kinds = _alternatives(annotation)
    return value is None and any(isinstance(kind, type) and issubclass(kind, Block) for kind in kinds)


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the known names where none is near."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known) or 'none'}"


def _require_known(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{key}: '{name}' is unknown{near(name, known)}")


def load(path: str | Path = "params.yaml") -> Params:
    """Read and validate a parameter file. Raises InputError with one line that names the key and the near one."""
    try:
        content = YAML(typ="safe").load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run this in the repository's root") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except (YAMLError, ValueError) as error:  # no UTF-8, or a date that there is not
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    return parse(content, name=str(path))


def parse(content: Any, name: str = "params.yaml") -> Params:
    """Validate parameters given as a mapping, as YAML gives it. Raises InputError."""
    if not isinstance(content, dict):
        raise InputError(f"{name} holds no mapping of blocks")
    return validated(Params, content, prefix="", name=name)


BlockType = TypeVar("BlockType", bound=Block)


def validated(block: type[BlockType], content: dict[str, Any], prefix: str, name: str = "params.yaml") -> BlockType:
    """`content` as this block of the file `name`, at the key `prefix`. Raises InputError naming key and near key."""
    try:
        return block.model_validate(content)
    except ValidationError as error:
        # a misspelt key that is required counts twice, as unknown and as missing: name what was typed
        first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
        more = error.error_count() - 1
        line = f"{name}: " * bool(name) + _explained(block, first, prefix) + f" (and {more} more)" * bool(more)
        raise InputError(line) from None


def _explained(block: type[Block], error: Any, prefix: str) -> str:
    keys, siblings = _place(block, error["loc"])
    path = ".".join([prefix, *keys]).strip(".")
    if error["type"] == "extra_forbidden":
        return f"{path} is not a parameter{near(keys[-1], siblings)}"
    if error["type"] == "missing":
        return f"{path} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if not path:
        return message
    ours = error["type"] == "value_error"
    given = "" if ours or isinstance(error["input"], dict) else f", not {_as_yaml(error['input'])}"
    return f"{path}: {message if ours else message[0].lower() + message[1:]}{given}"


def _as_yaml(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _place(block: type[Block], location: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """The keys of a pydantic location as params.yaml spells them, and the keys known beside the last one."""
    keys: list[str] = []
    siblings: list[str] = []
    here: Any = block
    for step in location:
        options = [kind for kind in _alternatives(here) if isinstance(kind, type) and issubclass(kind, Block)]
        tagged = [kind for kind in options if len(options) > 1 and step in get_args(_annotation(kind, "method"))]
        if tagged:
            here = tagged[0]
            continue
        if isinstance(step, int):
            keys[-1] += f"[{step}]"
            here = None
        elif options:
            siblings = [field.alias or known for known, field in options[0].model_fields.items()]
            keys.append(step)
            here = _annotation(options[0], step)
        elif get_origin(here) is dict:
            keys.append(step)
            here = get_args(here)[1]
        elif keys and step not in ("str", "int", "float", "literal['scale']", "literal['auto']"):
            here = None
    return keys, siblings


def _annotation(block: type[Block], key: str) -> Any:
    for name, field in block.model_fields.items():
        if key in (name, field.alias):
            return field.annotation
    return None


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [annotation]
