"""`predict`, `robustness`, `evaluate`, `compare` and `submit`: what is done with models that are trained."""

import re
from typing import Annotated, Literal, Self

from annotated_types import Interval
from pydantic import NonNegativeInt, PositiveInt, model_validator

from fakeprint.params.augment import strengths
from fakeprint.params.block import Block, Distinct, Inside
from fakeprint.params.names import near


class Predict(Block):
    tta: Literal["none", "flip", "flip_shift"] = "none"
    shift: Annotated[int, Interval(ge=1, le=32)] = 2


class Robustness(Block):
    models: Distinct[str] = []
    grid: dict[str, dict[str, float]] = {}

    @model_validator(mode="after")
    def _degradations_exist(self) -> Self:
        known = strengths()
        for cell, steps in self.grid.items():
            if not re.fullmatch(r"[\w.-]+", cell) or cell in ("clean", "worst"):
                raise ValueError(
                    f"grid: '{cell}' cannot name a degradation; letters, digits, '_', '.' and '-' can, "
                    "clean and worst have a meaning of their own"
                )
            if not steps:
                raise ValueError(f"grid.{cell} does nothing; name a transform and its strength, as in {{jpeg: 75}}")
            for name, strength in steps.items():
                if name not in known:
                    raise ValueError(f"grid.{cell}: '{name}' is unknown{near(name, known)}")
                low, high = known[name]
                if not low <= strength <= high:
                    raise ValueError(f"grid.{cell}.{name} should be from {low:g} to {high:g}, not {strength:g}")
        return self


class Evaluate(Block):
    calibration_bins: PositiveInt
    mistakes: NonNegativeInt


class Compare(Block):
    confidence: Inside


class Submit(Block):
    model: str
