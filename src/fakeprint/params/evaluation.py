"""`predict`, `degrade`, `robustness`, `evaluate`, `compare` and `submit`: what is done with models that are trained."""

import re
from typing import Annotated, Literal, Self

from annotated_types import Interval
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from fakeprint.params.augment import strengths
from fakeprint.params.block import Block, Distinct, Inside
from fakeprint.params.names import suggestion


class Predict(Block):
    tta: Literal["none", "flip", "flip_shift"] = Field(
        default="none",
        description="of networks: test-time augmentation, probabilities averaged over: none | flip (image, mirror) | "
        "flip_shift (and four shifts)",
    )
    shift: Annotated[int, Interval(ge=1, le=32)] = Field(default=2, description="flip_shift: pixels in each direction")
    crops: Annotated[int, Interval(ge=1, le=1024)] = Field(
        default=9, description="prepare.resize: native: crops per image, at most, whose log-probabilities are averaged"
    )
    crop_choice: Literal["even", "detail"] = Field(
        default="even", description="of them: even (spread over the image) | detail (with the most high frequencies)"
    )


def _require_degradations(grid: dict[str, dict[str, float]]) -> None:
    """Raises ValueError for a name that is reserved, an unknown transform, and a strength that is out of range."""
    known = strengths()
    for cell, steps in grid.items():
        if not re.fullmatch(r"[\w.-]+", cell) or cell in ("clean", "worst"):
            raise ValueError(
                f"grid: '{cell}' cannot be the name of a degradation; use letters, digits, '_', '.' and '-', but "
                "not clean or worst, which are reserved"
            )
        if not steps:
            raise ValueError(f"grid.{cell} is empty; give a transform and its strength, for example {{jpeg: 75}}")
        for name, strength in steps.items():
            if name not in known:
                raise ValueError(f"grid.{cell}: '{name}' is unknown{suggestion(name, known)}")
            low, high = known[name]
            if not low <= strength <= high:
                raise ValueError(f"grid.{cell}.{name} should be from {low:g} to {high:g}, not {strength:g}")


class Degrade(Block):
    grid: dict[str, dict[str, float]] = Field(
        default={}, description="name: {transform: strength, …}, as in robustness.grid; {} = none"
    )

    @model_validator(mode="after")
    def _degradations_exist(self) -> Self:
        _require_degradations(self.grid)
        return self


class Robustness(Block):
    models: Distinct[str] = Field(default=[], description="names; [] = all that run")
    grid: dict[str, dict[str, float]] = Field(
        default={
            "jpeg_50": {"jpeg": 50},
            "noise_2": {"noise": 2},
            "resize_0.8": {"rescale": 0.8},
            "blur_0.7": {"blur": 0.7},
        },
        description="name: {transform: strength, …}, applied in that order; {} = clean images only; the "
        "demo's grid is small",
    )

    @model_validator(mode="after")
    def _degradations_exist(self) -> Self:
        _require_degradations(self.grid)
        return self


class Evaluate(Block):
    calibration_bins: PositiveInt = Field(description="of the expected calibration error and the reliability plot")
    mistakes: NonNegativeInt = Field(description="most confident mistakes shown")


class Compare(Block):
    confidence: Inside = Field(description="0–1; of every interval, those of `evaluate` and `robustness` too")


class Submit(Block):
    model: str = Field(description="champion (best validation accuracy), or any model that runs")
