"""`train`: how networks are trained, in one phase or several."""

from typing import Annotated, Any, Literal, Self

from annotated_types import Interval
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from fakeprint.errors import InputError
from fakeprint.params.augment import Fill, Interpolation, Transforms, require_one_degradation
from fakeprint.params.block import BelowOne, Block, Fraction, Inside
from fakeprint.params.validation import validated

# What all phases of a training run have in common.
RUN_WIDE = ("augment_on", "augmented", "compile", "deterministic", "device", "devices", "phases", "precision", "seed")


class Train(Block):
    seed: Annotated[int, Interval(ge=0, lt=2**32)] | None = Field(
        default=None,
        description="seed of the networks' weights, order and augmentation only; null = the top-level seed",
    )
    epochs: PositiveInt = Field(description="passes over the train images, at most")
    batch_size: Annotated[int, Interval(ge=2)] = Field(description="images per batch")
    accumulate: PositiveInt = Field(
        default=1, description="batches whose gradients are averaged for one step of the optimiser"
    )
    optimiser: Literal["adam", "adamw", "sgd", "muon"] = Field(
        description="adam | adamw | sgd | muon (of the layers before the head; adamw for the rest)"
    )
    lr: PositiveFloat = Field(description="learning rate: at the start, or at the peak of a schedule that rises first")
    weight_decay: NonNegativeFloat = Field(description="adamw, muon: decoupled from the gradient; adam, sgd: L2")
    decay_norms: bool = Field(default=True, description="false = no weight decay on biases and the scales of norms")
    momentum: BelowOne = Field(description="of sgd and muon")
    nesterov: bool = Field(default=True, description="sgd, muon: Nesterov's momentum; no effect with momentum: 0")
    eps: Annotated[float, Interval(gt=0, le=1)] = Field(
        default=1e-8, description="adam, adamw, muon: added to the denominator of a step"
    )
    clip: NonNegativeFloat = Field(
        default=0.0,
        description="largest L2 norm of the gradient over all parameters; larger ones are scaled down; 0 = no limit",
    )
    schedule: Literal["plateau", "cosine", "one_cycle", "step", "none"] = Field(
        description="plateau (lr × factor when validation stalls) | cosine (to min_lr) | one_cycle (up, then "
        "to 0) | step | none"
    )
    warmup: NonNegativeFloat = Field(
        default=0.0,
        description="epochs, fractions too, in which lr rises to its value; one_cycle: its rise, 0 = 30 % of the steps",
    )
    patience: NonNegativeInt = Field(
        description="plateau: lr is lowered after more than this many epochs without improvement"
    )
    plateau_on: Literal["accuracy", "loss"] = Field(
        default="accuracy",
        description="plateau: accuracy (the higher the better) | loss (the lower the better), of validation",
    )
    factor: Inside = Field(description="plateau, step: lr is multiplied by it")
    step_epochs: PositiveInt = Field(default=10, description="step: epochs between two steps")
    min_lr: NonNegativeFloat = Field(default=0.0, description="cosine: lr at the end; plateau: the lowest lr")
    early_stopping: NonNegativeInt = Field(
        description="epochs without a better validation accuracy before training ends; 0 = never"
    )
    keep: Literal["best", "last"] = Field(
        default="best",
        description="which epoch's weights are written: best (highest validation accuracy, the first of equals) | last",
    )
    validate_every: PositiveInt = Field(
        default=1,
        description="epochs from one validation to the next; the last is always validated; above 1 needs keep: last, "
        "early_stopping: 0",
    )
    loss: Literal["cross_entropy", "focal", "hinge"] = Field(
        default="cross_entropy",
        description="cross_entropy | focal (× (1 − p)^gamma, p the probability of the label) | hinge (needs "
        "label_smoothing: 0)",
    )
    gamma: Annotated[float, Interval(ge=0, le=10)] = Field(default=2.0, description="focal only; 0 = cross_entropy")
    label_smoothing: BelowOne = Field(description="0–1; share of each label that is spread over all classes")
    class_weights: Literal["none", "balanced"] | dict[str | int, NonNegativeFloat] = Field(
        default="none",
        description="none | balanced (all classes weigh the same) | {CLASS: weight, …} in the loss, else 1; "
        '"#0" = the first class',
    )
    mixup: NonNegativeFloat = Field(
        default=0.0, description="alpha: images and labels are mixed by a share from Beta(alpha, alpha); 0 = off"
    )
    cutmix: NonNegativeFloat = Field(
        default=0.0,
        description="alpha: the same, but a box is pasted; 0 = off; with mixup too, each batch takes one of the two",
    )
    mix_p: Fraction = Field(
        default=1.0, description="0–1; share of the batches that are mixed, where mixup or cutmix is on"
    )
    ema: BelowOne = Field(
        default=0.0,
        description="0–1; decay per step of the weights' moving average, which is then validated and written "
        "(0.999); 0 = off",
    )
    swa: BelowOne = Field(
        default=0.0,
        description="0–1; share of the epochs, the last ones, whose weights are averaged and written; needs "
        "early_stopping: 0; 0 = off",
    )
    clean_norm: bool = Field(
        default=False,
        description="true = at the end, the kept weights get batch norm statistics of clean, unmixed train images",
    )
    freeze: NonNegativeInt = Field(
        default=0, description="first epochs in which only the network's head is trained; as many as epochs = always"
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        default="shuffled",
        description="shuffled (each image once per epoch) | balanced (all classes equally often: rare images repeat)",
    )
    phases: list[dict[str, Any]] = Field(
        default=[],
        description="one training after the other, each with what it changes: [{epochs: 30}, {lr: 0.001}]; "
        "docs/models.md; [] = one",
    )
    compile: bool = Field(
        default=False,
        description="torch.compile: faster steps after the first minute; on a CPU it needs a C++ compiler",
    )
    deterministic: bool = Field(
        default=False, description="true = a GPU computes the same bits in every run, but slower; a CPU always does"
    )
    devices: PositiveInt = Field(
        default=1,
        description="of this machine, one process each, which share every batch; for several machines see "
        "docs/scaling.md",
    )
    device: str = Field(
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", description="auto | cpu | cuda | cuda:N (GPU number N) | mps"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        description="auto (bf16 where the device is fast at it) | fp32 | bf16"
    )
    augment_on: Literal["auto", "cpu", "device"] = Field(
        default="auto",
        description="auto (on the device if it is not a CPU, its memory holds the images and it knows the "
        "transforms) | cpu | device",
    )
    augmented: bool = Field(description="train on the offline copies, too")
    one_degradation: bool = Field(
        default=True, description="as in `augment`; with the probabilities below, 40 % of the images are degraded"
    )
    second_degradation: Fraction = Field(
        default=0.0, description="0–1; share of the degraded images that get a second degradation after the first"
    )
    interpolation: Interpolation = Field(default="bicubic", description="as in `augment`")
    fill: Fill = Field(default="reflect", description="as in `augment`")
    transforms: Transforms = Field(
        description="in training, drawn again for each image and epoch; the same transforms as in `augment`"
    )

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if self.warmup > self.epochs:
            raise ValueError(f"warmup ({self.warmup:g} epochs) should not be longer than epochs ({self.epochs})")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr, {self.min_lr:g}, is above lr, {self.lr:g}")
        if self.loss == "hinge" and self.label_smoothing:
            raise ValueError("label_smoothing does not work with loss: hinge, which has no probabilities; set it to 0")
        if self.swa and self.ema:
            raise ValueError("swa and ema both average the weights; set one of them to 0")
        if self.swa and self.early_stopping:
            raise ValueError("swa averages the last epochs, which early_stopping may cut off; set early_stopping to 0")
        return self

    @model_validator(mode="after")
    def _second_follows_one(self) -> Self:
        require_one_degradation(self.one_degradation, self.second_degradation)
        return self

    @model_validator(mode="after")
    def _validated_often_enough(self) -> Self:
        if self.validate_every > 1:
            skipped = f"validate_every, {self.validate_every}, leaves epochs without validation"
            if self.keep == "best":
                raise ValueError(f"{skipped}, and keep: best compares all of them; set keep to last")
            if self.early_stopping:
                raise ValueError(f"{skipped}, and early_stopping counts all of them; set early_stopping to 0")
            if self.schedule == "plateau":
                raise ValueError(f"{skipped}, and schedule: plateau watches all of them; choose another schedule")
        return self

    def in_phases(self, prefix: str = "train") -> "list[Train]":
        """Each phase's settings: these, with its overrides; only these where there are no phases. Raises InputError.

        prefix: where the block is in params.yaml, for the message.
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
    """`base` with the values of `over`, blocks within blocks merged too; class weights are one value, not a block."""
    both = {
        key: merged(base[key], value)
        for key, value in over.items()
        if isinstance(base.get(key), dict) and isinstance(value, dict) and key != "class_weights"
    }
    return {**base, **over, **both}
