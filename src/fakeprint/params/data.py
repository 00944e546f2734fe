"""`data`, `validate` and `prepare`: the source, what is checked in it, and the arrays made of it."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from annotated_types import Interval
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from fakeprint.params.block import Block, Folds, Fraction, Inside
from fakeprint.params.names import NAME, suggestion

SPLITS = ("train", "validation", "test")


class Data(Block):
    title: str = Field(description="shown on every report and plot")
    path: str = Field(
        description="a folder, or a .zip, .tar, .tar.gz read in place; relative to the repository, or absolute"
    )
    layout: Literal["csv", "folders"] = Field(
        description="csv (train.csv, validation.csv, test.csv, images) | folders (<split>/<class>/, <class>/ "
        "or <generator>/<split>/<class>/)"
    )
    image_column: str = Field(default="image_id", description="csv: the file's name, with or without its extension")
    label_column: str = Field(default="label", description="csv: any strings or integers")
    group_column: str | None = Field(
        default=None,
        description="csv: images with one value (a video, a prompt, a source photograph) stay in one split, "
        "as near duplicates do",
    )
    generator_column: str | None = Field(
        default=None, description="csv: what made each image, beside a label such as real or fake"
    )
    class_names: dict[str | int, str] = Field(
        default={},
        description="label: name shown in reports, for example {0: StyleGAN}; a label not named here is shown as it is",
    )
    real_classes: list[str | int] | None = Field(
        default=None,
        description="labels of real images, all others are fake: adds a detector's metrics; null = classes "
        "named real or nature; [] = none",
    )
    unknown: dict[str, str] = Field(
        default={},
        description="name: path of a folder or archive of images that belong to no class, which are scored only; "
        "{photos: PATH}",
    )
    validation_fraction: Annotated[float, Interval(gt=0, lt=0.5)] = Field(
        default=0.1, description="of the train images, where the source has no validation split; stratified"
    )
    test_fraction: Annotated[float, Interval(ge=0, lt=0.5)] = Field(
        default=0.1, description="of the train images, where the source has no test split; stratified; 0 = none"
    )
    per_class: PositiveInt | Inside | dict[str, PositiveInt | Inside] | None = Field(
        default=None,
        description="images per class or a share (0.1), by seed; {train: 9} = of a split; null = all",
    )
    # Pillow itself opens none larger
    max_pixels: Annotated[int, Interval(ge=1, le=178_956_970)] = Field(
        default=50_000_000,
        description="pixels, at most 178956970; a larger image is set aside undecoded (decompression bomb)",
    )

    @model_validator(mode="after")
    def _columns_of_a_csv(self) -> Self:
        for key in ("group_column", "generator_column"):
            if getattr(self, key) is not None and self.layout != "csv":
                raise ValueError(f"{key} has no effect with layout: {self.layout}; set it to null")
        if self.group_column == self.label_column:
            raise ValueError(f"group_column and label_column are both {self.label_column}: a class would be one group")
        return self

    @field_validator("unknown")
    @classmethod
    def _names_of_stages(cls, unknown: dict[str, str]) -> dict[str, str]:
        for name in unknown:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a valid name; use a-z, 0-9 and '_', and start with a letter")
        return unknown

    @field_validator("per_class", mode="before")
    @classmethod
    def _one_number_per_split(cls, value: Any) -> Any:
        for split, count in value.items() if isinstance(value, dict) else ():
            if split not in SPLITS:
                raise ValueError(f"'{split}' is not a split{suggestion(str(split), SPLITS)}")
            share = isinstance(count, float) and 0 < count < 1
            if not share and (type(count) is not int or count < 1):
                raise ValueError(f"{split} should be a number of images, 1 or more, or a share below 1, not {count!r}")
        return value


class Validate(Block):
    max_bad_fraction: Fraction = Field(
        description="0–1; more missing, corrupt or too large files than this stop the run"
    )
    near_duplicate_bits: Annotated[int, Interval(ge=0, le=16)] = Field(
        description="0–16; perceptual hashes (64 bits) that differ in at most this many bits are near duplicates"
    )
    max_shortcut_excess: Fraction = Field(
        description="0–1; allowed excess accuracy of container facts: 0 = chance, 1 = always right; 0.25 = 0.4 of "
        "five classes"
    )
    on_shortcut: Literal["warn", "stop"] = Field(description="warn | stop; what to do above max_shortcut_excess")
    on_trace: Literal["note", "warn", "stop"] = Field(
        default="note",
        description="note | warn | stop; what to do if traces of compression or scaling in the pixels exceed "
        "max_shortcut_excess",
    )
    on_leak: Literal["warn", "stop", "drop"] = Field(
        default="warn",
        description="warn | stop | drop (the training side); what to do with groups that lie across the "
        "source's own splits",
    )
    sample_images: PositiveInt = Field(description="images per class in the sample picture")
    verdicts: str | None = Field(
        default=None,
        description="a file in data/verdicts, such as explain's suspects.csv with its column verdict filled in: keep, "
        "drop or a label; null = none",
    )

    @field_validator("verdicts")
    @classmethod
    def _verdicts_that_dvc_sees(cls, path: str | None) -> str | None:
        parts = PurePosixPath(path or "").parts
        if path is not None and (parts[:2] != ("data", "verdicts") or len(parts) < 3 or ".." in parts):
            raise ValueError(f"'{path}' is not a file in data/verdicts/; copy it there, so that DVC notices changes")
        return path


class Prepare(Block):
    image_size: Annotated[int, Interval(ge=16, le=1024)] = Field(description="side of the arrays in pixels")
    resize: Literal["squash", "crop", "native"] = Field(
        description="squash (sides scaled apart) | crop (shorter side scaled, middle kept) | native (not scaled, "
        "models take crops)"
    )
    small: Literal["mirror", "refuse"] = Field(
        default="mirror",
        description="native: images with a side below image_size: mirror (beyond their borders) | refuse (stop)",
    )
    train_crops: Annotated[int, Interval(ge=1, le=1024)] = Field(
        default=4,
        description="native: crops per image, at most, to fit classifiers on and choose epochs by; networks train on "
        "random ones",
    )
    fold: NonNegativeInt | None = Field(
        default=None,
        description="0 to folds − 1: that fold of the train images is the validation split, the source's own "
        "is left out; null = off",
    )
    folds: Folds = Field(
        default=5,
        description="2–100 folds of the train images, stratified by class, groups whole; for `fold` and "
        "`fakeprint search`",
    )

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold should be from 0 to {self.folds - 1}, not {self.fold} (folds: {self.folds})")
        return self
