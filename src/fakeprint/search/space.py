"""Search files (searches/*.yaml), checked against params.yaml at both ends of every range."""

import copy
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.params import Block, Params, suggestion

if TYPE_CHECKING:
    import optuna


class Range(Block):
    """Values of one parameter: `choices`, or from `low` to `high` inclusive (integers if both bounds are)."""

    choices: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = Field(default=None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _two_values_at_least(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.step is not None or self.log:
                raise ValueError("give choices, or low and high, not both")
            if len({json.dumps(choice) for choice in self.choices}) < max(2, len(self.choices)):
                raise ValueError(f"an empty range: {len(self.choices)} choices; give at least two different ones")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give choices: [A, B, …], or low and high")
        if self.low >= self.high:
            raise ValueError(f"an empty range: low ({self.low}) is not below high ({self.high})")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError("log: true needs low > 0 and no step")
        return self

    @property
    def ends(self) -> tuple[Any, Any]:
        """The first and the last value."""
        return (self.choices[0], self.choices[-1]) if self.choices is not None else (self.low, self.high)

    @property
    def whole(self) -> bool:
        """Whether all values are integers."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))

    def values(self) -> list[Any] | None:
        """All values, for a grid; None for a continuous range."""
        if self.choices is not None:
            return self.choices
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None or self.low is None or self.high is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        if self.whole:
            return [self.low + number * step for number in range(count)]
        return [min(self.high, round(self.low + number * step, 12)) for number in range(count)]  # 0.3, not 0.30…04

    def stored(self, value: Any) -> Any:
        """The form that optuna stores: choices as JSON, since they may be lists."""
        return json.dumps(value) if self.choices is not None else value

    def drawn(self, trial: "optuna.Trial", path: str) -> Any:
        """A value drawn by the sampler."""
        if self.choices is not None:
            return json.loads(trial.suggest_categorical(path, [json.dumps(choice) for choice in self.choices]))
        assert self.low is not None and self.high is not None
        if self.whole:
            return trial.suggest_int(path, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(path, self.low, self.high, step=self.step, log=self.log)


class Search(Block):
    """The content of a search file."""

    model: str
    trials: PositiveInt
    seed: int = Field(default=0, ge=0, lt=2**32)
    folds: list[int] = Field(default=[0], min_length=1)
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["median", "none"] = "median"
    fixed: dict[str, Any] = Field(default_factory=dict)
    ranges: dict[str, Range] = Field(min_length=1)


@dataclass(frozen=True)
class Plan:
    """A search file that fits params.yaml.

    content: params.yaml as YAML gives it. kind: "network" or "classifier".
    """

    path: Path
    search: Search
    content: dict[str, Any]
    kind: str

    @property
    def name(self) -> str:
        """The file's name without extension."""
        return self.path.stem

    def settings(self, values: dict[str, Any]) -> Params:
        """All parameters, with the search's fixed values and these values set. Raises InputError."""
        content = copy.deepcopy(self.content)
        for path, value in {**self.search.fixed, **values}.items():
            _set(content, path, value, self.path)
        return params.parse(content, name=str(self.path))

    def effective(self, values: dict[str, Any]) -> dict[str, Any]:
        """All parameters that the model depends on, with these values set."""
        return params.settings_of(self.settings(values), self.search.model, self.kind)


def load(path: Path, params_path: Path = Path("params.yaml")) -> Plan:
    """Read a search file and check every range at both of its ends.

    Raises InputError for an invalid file name, a file that is missing or not valid, an unknown model, a path that is
    not in params.yaml or has no effect on the model, an empty range, a value out of range, a fold that does not exist,
    and a grid over a range without steps.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", path.stem):
        raise InputError(f"{path}: the name of a search file can only have a-z, 0-9, '_' and '-'")
    content = params.read(params_path)
    everything = params.parse(content, str(params_path))
    search = params.validated(Search, _yaml(path), prefix="", name=str(path))
    networks = [name for name in params.Models.model_fields if getattr(everything.models, name) is not None]
    if search.model not in [*networks, *everything.classifiers]:
        raise InputError(
            f"{path}: model: '{search.model}' is not a block under models or classifiers"
            f"{suggestion(search.model, [*networks, *everything.classifiers])}"
        )
    kind = "network" if search.model in networks else "classifier"
    plan = Plan(path, search, content, kind)
    unknown = [fold for fold in search.folds if not 0 <= fold < everything.prepare.folds]
    if unknown or len(set(search.folds)) < len(search.folds):
        raise InputError(
            f"{path}: folds should be different numbers from 0 to {everything.prepare.folds - 1}, not {search.folds}"
        )
    plan.settings({})
    for key, values in search.ranges.items():
        _require_effect(plan, key, values)
        if search.sampler == "grid" and values.values() is None:
            raise InputError(f"{path}: ranges.{key}: a grid needs choices or a step")
    return plan


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        known = sorted(Path("searches").glob("*.yaml"))
        raise InputError(f"{path} does not exist{suggestion(str(path), [str(each) for each in known])}")
    return params.read(path)


def _set(content: dict[str, Any], path: str, value: Any, file: Path) -> None:
    *blocks, last = path.split(".")
    for number, name in enumerate(blocks):
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise InputError(f"{file}: {path}: {'.'.join(blocks[: number + 1])} is not a block of params.yaml")
    content[last] = value


def _require_effect(plan: Plan, key: str, values: Range) -> None:
    first, last = (plan.effective({key: end}) for end in values.ends)
    for choice in values.choices or []:
        plan.settings({key: choice})
    if first != last:
        return
    model = plan.search.model
    block, _, name = key.partition(".")
    if plan.kind == "network" and key in plan.settings({}).network(model).pinned:
        own = name if block == "model" else key
        raise InputError(
            f"{plan.path}: ranges.{key} has no effect because {model} pins this key; search models.{model}.{own} "
            "instead"
        )
    reached = f"model, train and models.{model}" if plan.kind == "network" else f"classifiers.{model} and its features"
    raise InputError(f"{plan.path}: ranges.{key} has no effect on {model}, which depends on {reached}")


def shown(value: Any, exactly: bool = False) -> str:
    """A value as one line of YAML; floats to four digits, or exactly."""
    if isinstance(value, list):
        return f"[{', '.join(shown(each, exactly) for each in value)}]"
    if isinstance(value, float):
        return str(value) if exactly else f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
