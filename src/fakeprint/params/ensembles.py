"""`ensembles`: how the predictions of several models become one."""

from typing import Annotated, Literal, Self

from annotated_types import Interval
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from fakeprint.params.block import BelowOne, Block, Distinct, Folds, Inside


class Ensemble(Block):
    """What every ensemble has; folds: of the validation images, where something is fitted on them."""

    members: Distinct[str] = Field(min_length=1)
    folds: Folds = 5


class Average(Ensemble):
    method: Literal["average"]
    weights: list[NonNegativeFloat] = []
    calibrate: bool = False

    @model_validator(mode="after")
    def _one_weight_per_member(self) -> Self:
        if self.weights and len(self.weights) != len(self.members):
            raise ValueError(f"{len(self.weights)} weights for {len(self.members)} members")
        if self.weights and not sum(self.weights):
            raise ValueError("the weights are all 0")
        return self


class Greedy(Ensemble):
    method: Literal["greedy"]
    by: Literal["log_loss", "accuracy"] = "log_loss"
    rounds: Annotated[int, Interval(ge=1, le=1000)] = 30
    calibrate: bool = False


class Stacking(Ensemble):
    method: Literal["stacking"]
    C: PositiveFloat = 0.01


class Learned(Ensemble):
    method: Literal["learned"]
    epochs: PositiveInt = 80
    batch_size: PositiveInt = 4
    lr: PositiveFloat = 1e-4
    weight_decay: NonNegativeFloat = 1e-4
    patience: NonNegativeInt = 5
    factor: Inside = 0.5
    early_stopping: NonNegativeInt = 5
    label_smoothing: BelowOne = 0.1
    dropout: BelowOne = 0.5
    held_out: Inside = 0.2


AnyEnsemble = Annotated[Average | Greedy | Stacking | Learned, Field(discriminator="method")]
