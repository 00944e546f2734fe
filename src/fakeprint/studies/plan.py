"""A study file that fits params.yaml: its configurations, each checked before anything runs, and their cells."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.params import Params, suggestion
from fakeprint.presets import DEMO, data_path, find_preset, merge, overlaid, overlaid_content
from fakeprint.studies.arms import Arm, Mean, configurations, path_names
from fakeprint.studies.cells import Sources, effective
from fakeprint.studies.figures import PER_CLASS
from fakeprint.studies.results import Cell
from fakeprint.studies.study import BASELINE, Changes, Study

FOLDER = Path("studies")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FIGURES = ("accuracy", "macro_f1", "log_loss", "ece", "roc_auc")  # of every evaluate.json
NESTED = (*PER_CLASS, "detection")  # `recall.CLASS`, `detection.auc`
RUN = ("run.features", "run.classifiers", "run.networks", "run.ensembles")  # follow from the study's models
# What costs time and is not compared: off, whatever the preset says; `baseline` and `-S` can turn it on again.
OFF: dict[str, Any] = {
    "data": {"unknown": {}},
    "explain": {"models": []},
    "open_world": {"classifiers": [], "networks": []},
    "cross_generator": {"classifiers": [], "networks": []},
    "submit": {"model": "champion"},
}


@dataclass(frozen=True)
class Options:
    """What a command line adds to a study file.

    preset: instead of the file's. data: data.path, as `fakeprint use --data`. changes: as `-S`, after the baseline.
    """

    preset: str | None = None
    data: str | None = None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A study file that fits params.yaml. `base` is the baseline's content of params.yaml, as plain YAML gives it."""

    path: Path
    study: Study
    options: Options
    preset: Path
    base: dict[str, Any]
    sources: Sources
    merged: dict[str, str] = field(default_factory=dict)  # combination of a grid → the arm that it is the same as
    _keys: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name without extension."""
        return self.path.stem

    @property
    def replicates(self) -> list[int]:
        """The seeds or the folds, in the file's order."""
        return self.study.seeds or self.study.folds

    @property
    def replicate_key(self) -> str:
        """The parameter that a seed or fold sets."""
        if self.study.folds:
            return "prepare.fold"
        return "seed" if self.study.vary == "all" else "train.seed"

    def arms(self, mean: Mean = lambda arm: None) -> list[Arm]:
        """The configurations, the baseline first.

        mean: an arm's mean of the first metric, None while cells are missing, NaN if some will never be. Of a greedy
        path it decides the next step, so that more arms are known the more cells are done.
        """
        return [arm for arm in configurations(self.study, mean) if arm.name not in self.merged]

    def path_names(self, mean: Mean = lambda arm: None) -> list[str]:
        """The configurations of the ablation path from first to last, as far as they are known; [] without one."""
        return path_names(self.study, mean)

    def cells(self, arms: Sequence[Arm]) -> list[Cell]:
        """The cells of these arms, seed by seed, so that what a seed's arms share is computed once."""
        return [Cell(arm.name, replicate, self.key(arm, replicate)) for replicate in self.replicates for arm in arms]

    def key(self, arm: Arm, replicate: int) -> str:
        """The cell's key."""
        if (arm.name, replicate) not in self._keys:
            self._keys[arm.name, replicate] = self.sources.key(self.settings(arm, replicate))
        return self._keys[arm.name, replicate]

    def settings(self, arm: Arm, replicate: int | None = None) -> Params:
        """All parameters of a cell; without a replicate those of the arm. Raises InputError."""
        return params.parse(self.content(arm, replicate), f"{self.path}: arms.{arm.name}")

    def content(self, arm: Arm, replicate: int | None = None) -> dict[str, Any]:
        """The cell's params.yaml as plain YAML gives it. Raises InputError where a model does not exist."""
        content = copy.deepcopy(self.base)
        for overlay in self._overlays(arm, replicate):
            merge(content, overlay)
        return content

    def text(self, arm: Arm, replicate: int | None = None, last: Sequence[dict[str, Any]] = ()) -> str:
        """The cell's params.yaml as it is written, with the comments. last: mappings of blocks that follow."""
        overlays = [*self._overlays(arm, replicate), *last]
        return overlaid(
            self.preset, self.options.data, self.options.changes, [OFF, nested(self.study.baseline)], last=overlays
        )

    def _overlays(self, arm: Arm, replicate: int | None) -> list[dict[str, Any]]:
        changes = [nested(arm.changes)]
        if replicate is not None:
            changes.append(nested({self.replicate_key: replicate}))
        content = copy.deepcopy(self.base)
        for change in changes:
            merge(content, change)
        return [*changes, running(content, self.study.models, str(self.path))]

    @cached_property
    def baseline(self) -> Params:
        """The parameters that the arms change."""
        return self.settings(Arm(BASELINE, {}))


def nested(changes: Changes) -> dict[str, Any]:
    """Dotted keys as blocks in blocks."""
    content: dict[str, Any] = {}
    for key, value in changes.items():
        *blocks, last = key.split(".")
        block = content
        for name in blocks:
            if not isinstance(block.get(name), dict):
                block[name] = {}
            block = block[name]
        block[last] = copy.deepcopy(value)
    return content


def running(content: dict[str, Any], models: Sequence[str], file: str) -> dict[str, Any]:
    """The block `run` that these models need, with members of ensembles and feature sets of classifiers.

    Also `robustness.models` without those that do not run, and no degraded images to fit ensembles on where none that
    runs is fitted on them. Raises InputError where a name has no block.
    """
    blocks = {
        kind: {name: block for name, block in _mapping(content, key).items() if block is not None}
        for kind, key in (("classifiers", "classifiers"), ("networks", "models"), ("ensembles", "ensembles"))
    }
    known = [name for names in blocks.values() for name in names]
    for name in models:
        if name not in known:
            raise InputError(
                f"{file}: models: '{name}' is not a block under classifiers, models or ensembles"
                f"{suggestion(name, known)}"
            )
    members = [member for name in models for member in _listed(blocks["ensembles"].get(name), "members")]
    needed = list(dict.fromkeys([*models, *members]))
    run: dict[str, list[str]] = {kind: [name for name in needed if name in names] for kind, names in blocks.items()}
    features = [each for name in run["classifiers"] for each in _listed(blocks["classifiers"][name], "features")]
    run["features"] = list(dict.fromkeys(features))
    degraded = [name for name in _listed(content.get("robustness"), "models") if name in models]
    of_copies = [name for name in run["ensembles"] if _mapping(blocks["ensembles"], name).get("degraded")]
    return {"run": run, "robustness": {"models": degraded}} | ({} if of_copies else {"degrade": {"grid": {}}})


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key)
    return found if isinstance(found, dict) else {}


def _listed(block: Any, key: str) -> list[str]:
    found = block.get(key) if isinstance(block, dict) else None
    return found if isinstance(found, list) else []


def load(path: Path, options: Options = Options(), root: Path | None = None) -> Plan:
    """Read a study file and check every arm of it.

    root: of the repository, the current folder by default.

    Raises:
        InputError: the file is missing or not valid; a preset, a model or a metric does not exist; an arm sets a key
            that is not a parameter or a value that is refused, changes nothing that has an effect, or equals another.
    """
    if not NAME.fullmatch(path.stem):
        raise InputError(f"{path}: the name of a study file can only have a-z, 0-9, '_' and '-'")
    study = params.validated(Study, _yaml(path), prefix="", name=str(path))
    _require_consistent(path, study, options)
    preset = find_preset(options.preset or study.preset)
    if preset.resolve() == DEMO.resolve():
        study = study.model_copy(update={"baseline": study.baseline | study.demo})
    data = data_path(Path(options.data)) if options.data else None
    options = Options(options.preset, data, options.changes)
    base = overlaid_content(preset, data, options.changes, [OFF, nested(study.baseline)])
    plan = Plan(path, study, options, preset, base, Sources(root or Path.cwd()))
    _require_valid_baseline(plan)
    if base["data"]["path"] != params.read(DEMO)["data"]["path"] and not Path(base["data"]["path"]).exists():
        raise InputError(f"{path}: data.path: {base['data']['path']} does not exist; give the data with --data PATH")
    _require_effects(plan)
    return plan


def _require_valid_baseline(plan: Plan) -> None:
    content = copy.deepcopy(plan.base)
    merge(content, running(content, plan.study.models, str(plan.path)))
    where = f"{plan.path}: baseline" if plan.study.baseline else f"{plan.path}: {plan.preset}"
    params.parse(content, " -S ".join([where, *plan.options.changes]))


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        known = [file.as_posix() for file in sorted(FOLDER.glob("*.yaml"))]
        raise InputError(f"{path} does not exist{suggestion(path.as_posix(), known)}")
    return params.read(path)


def _require_consistent(path: Path, study: Study, options: Options) -> None:
    """Raises InputError for what the file itself says wrongly."""
    if bool(study.seeds) == bool(study.folds):
        raise InputError(f"{path}: give seeds: [1, 2, …] or folds: [0, 1, …]" + ", not both" * bool(study.seeds))
    if not study.arms and not study.grid:
        raise InputError(f"{path}: give arms: {{NAME: {{KEY: VALUE}}}}, or grid: {{KEY: [VALUE, …]}}")
    if study.arms and study.grid:
        raise InputError(f"{path}: give arms or grid, not both")
    for name, changes in study.arms.items():
        if name == BASELINE:
            raise InputError(f"{path}: arms.{name}: this name is reserved; what all arms share belongs under baseline")
        if not name.strip() or not name.isprintable() or len(name) > 80:
            raise InputError(f"{path}: arms: {name!r} is not a name; use 1 to 80 printable characters")
        if not changes:
            raise InputError(f"{path}: arms.{name} changes nothing; give KEY: VALUE")
    for key, values in study.grid.items():
        if not values:
            raise InputError(f"{path}: grid.{key}: give at least one value")
    for name in study.path:
        if name not in study.arms:
            raise InputError(f"{path}: path: '{name}' is not an arm{suggestion(name, study.arms)}")
    for metric in study.metrics:
        if metric not in FIGURES and not metric.startswith(tuple(f"{each}." for each in NESTED)):
            raise InputError(
                f"{path}: metrics: '{metric}' is not a figure of evaluate.json{suggestion(metric, FIGURES)}"
            )
    arms = [arm.name for arm in configurations(study, lambda arm: None)]
    if study.compare_to not in arms:
        raise InputError(f"{path}: compare_to: '{study.compare_to}' is not an arm{suggestion(study.compare_to, arms)}")
    _require_free_keys(path, study, options)


def _require_free_keys(path: Path, study: Study, options: Options) -> None:
    """Raises InputError where an arm sets what the study itself sets."""
    seed = "seed" if study.vary == "all" else "train.seed"
    replicated = {"prepare.fold": "folds"} if study.folds else {seed: "seeds"}
    places = {"baseline": study.baseline, "demo": study.demo, "grid": study.grid} | {
        f"arms.{name}": each for name, each in study.arms.items()
    }
    places["-S"] = {change.lstrip("+~").partition("=")[0]: None for change in options.changes}
    for place, changes in places.items():
        for key in changes:
            if key in RUN or key == "run":
                raise InputError(f"{path}: {place}: {key} follows from models: list there what is to run")
            if key in replicated:
                raise InputError(f"{path}: {place}: {key} is what {replicated[key]} sets; leave it out")


def _require_effects(plan: Plan) -> None:
    """Raises InputError for an arm without effect, for two that are the same, and for seeds that change nothing."""
    study = plan.study
    first = plan.replicates[0]
    baseline = effective(plan.settings(Arm(BASELINE, {}), first))
    seen = {BASELINE: baseline}
    for arm in plan.arms():
        if arm.name == BASELINE:
            continue
        settings = effective(plan.settings(arm, first))
        same = next((name for name, other in seen.items() if other == settings), None)
        if same is None:
            seen[arm.name] = settings
        elif study.grid:
            plan.merged[arm.name] = same
        else:
            raise InputError(f"{plan.path}: arms.{arm.added or arm.name} {_without_effect(plan, arm, same)}")
    if study.compare_to in plan.merged:
        same = plan.merged[study.compare_to]
        raise InputError(
            f"{plan.path}: compare_to: '{study.compare_to}' is the same as {same}: write compare_to: {same}"
        )
    if len(plan.replicates) > 1:
        second = effective(plan.settings(Arm(BASELINE, {}), plan.replicates[1]))
        if second == baseline:
            raise InputError(
                f"{plan.path}: seeds with vary: {study.vary} draw nothing anew, because no network runs; use vary: all "
                "or folds"
            )


def _without_effect(plan: Plan, arm: Arm, same: str) -> str:
    """Why an arm is the same as another one, as the end of a sentence."""
    if same not in (BASELINE, arm.to):
        return f"is the same as {same}: leave one out"
    changed = plan.study.arms[arm.added or arm.name]
    settings = plan.settings(arm)
    networks = settings.run.networks
    for key in changed:
        block, _, name = key.partition(".")
        if block in ("model", "train") and networks:
            pinned = [each for each in networks if f"{block}.{name.split('.')[0]}" in settings.network(each).pinned]
            if pinned == networks:
                own = name if block == "model" else key
                return f"has no effect, because {pinned[0]} pins {key}; set models.{pinned[0]}.{own} instead"
        if block in ("model", "models", "train") and not networks:
            return f"has no effect: {key} is of networks, and none runs"
    keys = ", ".join(changed)
    return f"has no effect: {keys} leaves {', '.join(plan.study.models)} as they are in {same}"
