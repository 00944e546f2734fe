"""The configurations of a study: arms, combinations of a grid, and the steps of an ablation path."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fakeprint.search.space import shown
from fakeprint.studies.study import BASELINE, Changes, Study

LOWER_IS_BETTER = ("log_loss", "ece", "eer", "brier")  # figures, by the last part of their name
JOINED = " + "  # between the arms of a configuration on a path


@dataclass(frozen=True)
class Arm:
    """A configuration: what it changes in the baseline, all together.

    added: on a path, the arm that is added to the configuration `to`; else empty.
    """

    name: str
    changes: Changes
    added: str = ""
    to: str = BASELINE


# An arm's mean of the study's first metric; None while cells are missing, NaN if some of them failed by their own fault
Mean = Callable[[Arm], float | None]


def lower_is_better(metric: str) -> bool:
    """Whether a smaller figure is the better one."""
    return metric.rpartition(".")[2] in LOWER_IS_BETTER


def configurations(study: Study, mean: Mean) -> list[Arm]:
    """The baseline, the arms that are not on the path, then the path as far as it is known, each once."""
    found = [Arm(BASELINE, {})]
    found += _combinations(study.grid) if study.grid else []
    found += [Arm(name, changes) for name, changes in study.arms.items() if name not in study.path]
    found += [arm for step in _steps(study, mean) for arm in step]
    return found


def all_configurations(study: Study) -> int:
    """How many configurations a study has at its end, the baseline among them, whichever way a greedy path takes."""
    steps = len(study.path)
    on_path = steps * (steps + 1) // 2 if study.path_order == "greedy" else steps
    combinations = math.prod(len(values) for values in study.grid.values()) if study.grid else 0
    return 1 + combinations + len(study.arms) - steps + on_path


def path_names(study: Study, mean: Mean) -> list[str]:
    """The path's configurations from the baseline to the last one that is decided; [] without a path."""
    if not study.path:
        return []
    if study.path_order == "full":
        return [BASELINE, *(step[0].name for step in _steps(study, mean))]
    chosen = [_best(study, step, mean) for step in _steps(study, mean)]
    return [BASELINE, *(arm.name for arm in chosen if arm is not None)]


def _steps(study: Study, mean: Mean) -> Iterator[list[Arm]]:
    """The configurations of each step. A greedy step is known once the one before it has a winner."""
    current, left = Arm(BASELINE, {}), list(study.path)
    while left:
        tried = left if study.path_order == "greedy" else left[:1]
        step = [_added(study, current, name) for name in tried]
        yield step
        best = _best(study, step, mean) if study.path_order == "greedy" else step[0]
        if best is None:
            return
        current = best
        left.remove(best.added)


def _added(study: Study, current: Arm, name: str) -> Arm:
    joined = name if current.name == BASELINE else f"{current.name}{JOINED}{name}"
    return Arm(joined, {**current.changes, **study.arms[name]}, added=name, to=current.name)


def _best(study: Study, step: Sequence[Arm], mean: Mean) -> Arm | None:
    """The arm with the best mean, the first of equal ones; None while one is missing, or where all have failed."""
    means = {arm.name: mean(arm) for arm in step}
    if any(value is None for value in means.values()):
        return None
    sign = -1 if lower_is_better(study.metrics[0]) else 1
    left = [arm for arm in step if not math.isnan(_number(means[arm.name]))]
    return max(left, key=lambda arm: sign * _number(means[arm.name])) if left else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _combinations(grid: dict[str, list[Any]]) -> list[Arm]:
    """Each combination as an arm, named by the last parts of its keys: `k=3, metrics=l1`."""
    short = [key.rpartition(".")[2] for key in grid]
    labels = short if len(set(short)) == len(short) else list(grid)
    found = []
    for values in itertools.product(*grid.values()):
        name = ", ".join(f"{label}={_label(value)}" for label, value in zip(labels, values, strict=True))
        found.append(Arm(name, dict(zip(grid, values, strict=True))))
    return found


def _label(value: Any) -> str:
    return shown(value[0] if isinstance(value, list) and len(value) == 1 else value, exactly=True)
