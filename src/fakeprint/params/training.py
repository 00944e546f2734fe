"""`train`: how networks are trained, in one phase or several."""

from typing import Annotated, Any, Literal, Self

from annotated_types import Interval
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from fakeprint.errors import InputError
from fakeprint.params.augment import Fill, Interpolation, Transforms
from fakeprint.params.block import BelowOne, Block, Fraction, Inside
from fakeprint.params.validation import validated

# What all phases of a training run have in common.
RUN_WIDE = ("augment_on", "augmented", "compile", "deterministic", "device", "devices", "phases", "precision")


class Train(Block):
    epochs: PositiveInt
    batch_size: Annotated[int, Interval(ge=2)]
    accumulate: PositiveInt = 1
    optimiser: Literal["adam", "adamw", "sgd"]
    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    decay_norms: bool = True
    momentum: BelowOne
    nesterov: bool = True
    eps: Annotated[float, Interval(gt=0, le=1)] = 1e-8
    clip: NonNegativeFloat = 0.0
    schedule: Literal["plateau", "cosine", "one_cycle", "step", "none"]
    warmup: NonNegativeFloat = 0.0
    patience: NonNegativeInt
    plateau_on: Literal["accuracy", "loss"] = "accuracy"
    factor: Inside
    step_epochs: PositiveInt = 10
    min_lr: NonNegativeFloat = 0.0
    early_stopping: NonNegativeInt
    keep: Literal["best", "last"] = "best"
    loss: Literal["cross_entropy", "focal", "hinge"] = "cross_entropy"
    gamma: Annotated[float, Interval(ge=0, le=10)] = 2.0
    label_smoothing: BelowOne
    class_weights: Literal["none", "balanced"] | dict[str | int, NonNegativeFloat] = "none"
    mixup: NonNegativeFloat = 0.0
    cutmix: NonNegativeFloat = 0.0
    mix_p: Fraction = 1.0
    ema: BelowOne = 0.0
    swa: BelowOne = 0.0
    freeze: NonNegativeInt = 0
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    phases: list[dict[str, Any]] = []
    compile: bool = False
    deterministic: bool = False
    devices: PositiveInt = 1
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


def _phase(shared: dict[str, Any], overrides: dict[str, Any], prefix: str) -> Train:
    for key in RUN_WIDE:
        if key in overrides:
            raise InputError(f"{prefix}.{key} is the same in all phases; set it in the block `train`")
    return validated(Train, merged(shared, overrides), prefix=prefix, name="")


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, blocks within blocks merged too."""
    both = {key: merged(base[key], value) for key, value in over.items() if isinstance(base.get(key), dict)}
    return {**base, **over, **both}
