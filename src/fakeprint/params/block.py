"""What all blocks share: the base class, and types that several of them use. Positive numbers are pydantic's own."""

import json
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar, get_origin

from annotated_types import Interval
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Fraction = Annotated[float, Interval(ge=0, le=1)]
BelowOne = Annotated[float, Interval(ge=0, lt=1)]
Inside = Annotated[float, Interval(gt=0, lt=1)]
Folds = Annotated[int, Interval(ge=2, le=100)]

Item = TypeVar("Item")


def as_yaml(value: Any) -> str:
    """A value as params.yaml spells it, for messages."""
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _without_repeats(items: list[Item]) -> list[Item]:
    for number, item in enumerate(items):
        if item in items[:number]:
            raise ValueError(f"{item} is listed more than once; remove the repetition")
    return items


Distinct = Annotated[list[Item], AfterValidator(_without_repeats)]


def _whole_number(value: Any) -> Any:
    if type(value) is not int:
        raise ValueError(f"{as_yaml(value)} is not a whole number")
    return value


Whole = BeforeValidator(_whole_number)  # for a Literal of numbers, which takes true for 1

WEIGHTS = "data/weights"  # the folder of weights files: DVC hashes it, and with it what a file holds


def _weights_that_dvc_sees(weights: str) -> str:
    parts = PurePosixPath(weights).parts
    inside = parts[:2] == PurePosixPath(WEIGHTS).parts and len(parts) > 2 and ".." not in parts
    if weights not in ("default", "lite0") and not inside:
        raise ValueError(
            f"'{weights}' is neither default, lite0 nor a file in {WEIGHTS}/; copy the file there, so that DVC notices "
            "changes"
        )
    return weights


Weights = Annotated[str, AfterValidator(_weights_that_dvc_sees)]
TimmName = Annotated[str, Field(pattern=r"^timm:\S+$")]


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
