"""`calibrate`: from a model's probabilities to ones that mean what they say."""

from typing import Literal

from pydantic import Field

from fakeprint.params.block import Block, Folds


class Calibrate(Block):
    method: Literal["none", "temperature", "bias", "vector", "venn_abers"] = Field(
        default="temperature",
        description="none | temperature | bias (also one bias per class) | vector (a scale and a bias per class) | "
        "venn_abers",
    )
    on: Literal["validation", "fold"] = Field(
        default="validation",
        description="validation (its own figures are cross-fitted) | fold (one fold of train, which no model then "
        "learns from)",
    )
    folds: Folds = Field(default=5, description="2–100 folds of the validation images, groups whole, to cross-fit in")
