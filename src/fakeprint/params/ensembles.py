"""`ensembles`: how the predictions of several models become one."""

from typing import Annotated, Literal, Self

from annotated_types import Interval
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from fakeprint.params.block import BelowOne, Block, Distinct, Folds, Inside


class Ensemble(Block):
    """What every ensemble has; folds: of the validation images, where something is fitted on them."""

    members: Distinct[str] = Field(
        min_length=1, description="networks and classifiers; those that do not run are left out"
    )
    folds: Folds = Field(
        default=5, description="2–100 folds of the validation images, where something is fitted on them"
    )
    degraded: bool = Field(
        default=False,
        description="fit on degraded validation images too, those of degrade.grid",
    )


class Average(Ensemble):
    method: Literal["average"] = Field(description="weighted average of the members' probabilities")
    weights: list[NonNegativeFloat] = Field(default=[], description="one per member; [] = equal")
    calibrate: bool = Field(default=False, description="fit each member's temperature first")

    @model_validator(mode="after")
    def _one_weight_per_member(self) -> Self:
        if self.weights and len(self.weights) != len(self.members):
            raise ValueError(
                f"{len(self.weights)} weights for {len(self.members)} members; give one weight per member, or [] for "
                "equal ones"
            )
        if self.weights and not sum(self.weights):
            raise ValueError("at least one weight should be above 0")
        if self.degraded and not self.calibrate:
            raise ValueError("degraded: true has no effect without calibrate: true, for nothing is fitted")
        return self


class Greedy(Ensemble):
    method: Literal["greedy"] = Field(description="members added one by one, each the best addition")
    by: Literal["log_loss", "accuracy"] = Field(
        default="log_loss", description="log_loss | accuracy; what each added member must improve most"
    )
    rounds: Annotated[int, Interval(ge=1, le=1000)] = Field(
        default=30, description="1–1000 additions; a member may be added again"
    )
    calibrate: bool = Field(default=True, description="fit each member's temperature first")


class Stacking(Ensemble):
    method: Literal["stacking"] = Field(description="logistic regression on the members' log-probabilities")
    C: PositiveFloat = Field(default=0.01, description="inverse strength of regularisation")


class Learned(Ensemble):
    method: Literal["learned"] = Field(
        description="a small network that weighs the members for each image, as published"
    )
    epochs: PositiveInt = Field(default=80, description="passes over what it is fitted on, at most")
    batch_size: PositiveInt = Field(default=4, description="images per batch")
    lr: PositiveFloat = Field(default=1e-4, description="of Adam, at the start")
    weight_decay: NonNegativeFloat = Field(default=1e-4, description="L2")
    patience: NonNegativeInt = Field(
        default=5, description="lr × factor after more than this many epochs without a better accuracy"
    )
    factor: Inside = Field(default=0.5, description="0–1")
    early_stopping: NonNegativeInt = Field(
        default=5, description="epochs without a better accuracy before it ends; 0 = never"
    )
    label_smoothing: BelowOne = Field(default=0.1, description="0–1")
    dropout: BelowOne = Field(default=0.5, description="0–1, in the meta head")
    held_out: Inside = Field(
        default=0.2, description="0–1; share of the fitting data that is set aside to choose the epoch"
    )


AnyEnsemble = Annotated[Average | Greedy | Stacking | Learned, Field(discriminator="method")]
