"""What a study file says (studies/*.yaml): typed, frozen, validated."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from fakeprint.params.block import Block, Distinct

BASELINE = "baseline"  # the name of the configuration that the arms change
Changes = dict[str, Any]  # dotted keys of params.yaml and their values


class Study(Block):
    """The content of a study file. A configuration is the preset, then `baseline`, then the changes of one arm."""

    question: str = Field(description="what the study answers, in words")
    published: str = Field(default="", description="what the authors of the system found, where they tried the same")
    preset: str = Field(default="demo", description="presets/NAME.yaml; `--preset` replaces it")
    baseline: Changes = Field(default_factory=dict, description="changes of the preset that all arms share")
    demo: Changes = Field(
        default_factory=dict,
        description="further changes of the demo for all arms, so that it takes minutes; not used with other presets",
    )
    arms: dict[str, Changes] = Field(default_factory=dict, description="what each arm changes in the baseline")
    grid: dict[str, list[Any]] = Field(
        default_factory=dict, description="instead of arms: each combination of these values is an arm"
    )
    path: Distinct[str] = Field(
        default_factory=list,
        description="names of arms; each is added to those before it, from the baseline to the last configuration",
    )
    path_order: Literal["full", "greedy"] = Field(
        default="full",
        description="full: as listed; greedy: at each step the arm that helps most of those that are left",
    )
    seeds: Distinct[NonNegativeInt] = Field(default_factory=list, description="each arm runs once per seed")
    folds: Distinct[NonNegativeInt] = Field(
        default_factory=list, description="instead of seeds: each arm runs once per fold of train (prepare.fold)"
    )
    vary: Literal["all", "training"] = Field(
        default="training", description="what a seed draws anew: networks' training alone (train.seed), or all (seed)"
    )
    models: Annotated[Distinct[str], Field(min_length=1)] = Field(description="models that run and are compared")
    metrics: Annotated[Distinct[str], Field(min_length=1)] = Field(
        default=["accuracy", "macro_f1", "log_loss", "ece"],
        description="figures of metrics/MODEL/evaluate.json; the first one is tested. recall.NAME is of the class with "
        "that name, and recall.#4 of class number 4, counted from 0",
    )
    compare_to: str = Field(default=BASELINE, description="the arm that the others are compared to")
    test: Literal["wilcoxon", "t"] = Field(
        default="wilcoxon", description="of differences paired by seed: exact Wilcoxon, or Student's t"
    )
    margin: NonNegativeFloat = Field(default=0.0, description="a difference in the first metric too small to matter")
