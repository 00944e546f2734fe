"""`calibrate` and `decide`: from a model's probabilities to an answer."""

from typing import Literal

from pydantic import Field

from fakeprint.params.block import Block, Folds, Inside


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


class Decide(Block):
    max_error: Inside = Field(
        default=0.02,
        description="0–1; share of the answers that may be wrong, which the score's threshold is to certify",
    )
    confidence: Inside = Field(default=0.95, description="0–1; of that certificate")
    set_error: Inside = Field(
        default=0.1, description="0–1; share of each class's images whose conformal set may lack their class"
    )
    unknown: Literal["none", "max_probability"] = Field(
        default="none",
        description="none | max_probability (unknown where the largest probability is lower than that of 95 % of the "
        "validation images)",
    )
    consistency: bool = Field(
        default=False,
        description="true: unsure where the mirrored, the JPEG-75 or the rescaled image gets another label; four "
        "times the work to predict",
    )
