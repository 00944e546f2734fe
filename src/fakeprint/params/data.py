"""`data`, `validate` and `prepare`: the source, what is checked in it, and the arrays made of it."""

from typing import Annotated, Any, Literal, Self

from annotated_types import Interval
from pydantic import NonNegativeInt, PositiveInt, field_validator, model_validator

from fakeprint.params.block import Block, Folds, Fraction
from fakeprint.params.names import near

SPLITS = ("train", "validation", "test")


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
    validation_fraction: Annotated[float, Interval(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Interval(ge=0, lt=0.5)] = 0.1
    per_class: PositiveInt | dict[str, PositiveInt] | None = None
    max_pixels: Annotated[int, Interval(ge=1, le=178_956_970)] = 50_000_000  # Pillow itself opens none larger

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
    def _one_number_per_split(cls, value: Any) -> Any:
        for split, count in value.items() if isinstance(value, dict) else ():
            if split not in SPLITS:
                raise ValueError(f"'{split}' is no split{near(str(split), SPLITS)}")
            if not isinstance(count, int) or count < 1:
                raise ValueError(f"{split} should be a number of images, 1 or more, not {count!r}")
        return value


class Validate(Block):
    max_bad_fraction: Fraction
    near_duplicate_bits: Annotated[int, Interval(ge=0, le=16)]
    max_shortcut_excess: Fraction
    on_shortcut: Literal["warn", "stop"]
    on_trace: Literal["tell", "warn", "stop"] = "tell"
    on_leak: Literal["warn", "stop", "drop"] = "warn"
    sample_images: PositiveInt


class Prepare(Block):
    image_size: Annotated[int, Interval(ge=16, le=1024)]
    resize: Literal["squash", "crop"]
    fold: NonNegativeInt | None = None
    folds: Folds = 5

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds: they are counted from 0 to {self.folds - 1}")
        return self
