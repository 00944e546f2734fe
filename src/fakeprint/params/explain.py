"""`explain`: pages that show the grounds of a model's answers."""

from typing import Annotated, Self

from annotated_types import Interval
from pydantic import Field, PositiveInt, model_validator

from fakeprint.params.block import Block, Distinct


class Explain(Block):
    models: Distinct[str] = Field(default=[], description="names of models that run, one page each; [] = none")
    images: PositiveInt = Field(
        default=1250, description="validation images per page, at most: mistakes and uncertain answers first"
    )
    neighbours: Annotated[int, Interval(ge=0, le=10)] = Field(
        default=3, description="0–10; nearest train images shown for each; 0 = none"
    )
    folds: Annotated[int, Interval(ge=0, le=20)] = Field(
        default=0,
        description="0, or 2–20: suspected labels among train images too, from that many fits of a classifier",
    )

    @model_validator(mode="after")
    def _more_than_one_fold(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds should be 0 or from 2 to 20, not 1")
        return self
