"""Trials, stored by optuna and logged to MLflow. An interrupted search can be continued, and processes can share one.

A search is identified by a digest of its file and of the parameters, data and network code that it depends on. The
same search continues where it stopped, any other one starts from the beginning. Each trial has a place among all, and
its own seed by that, so that an interrupted search ends with the same result as an uninterrupted one. A process takes
the first place that is free; so the number of trials is exact, and no point of a grid is tried twice.
"""

import functools
import hashlib
import itertools
import json
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeprint import seeds, tracking
from fakeprint.data.arrays import ARRAYS, load_dataset, load_index
from fakeprint.data.manifest import load_manifest
from fakeprint.data.splits import folds, with_folds
from fakeprint.errors import InputError
from fakeprint.params import Params
from fakeprint.search.scoring import COPIES, epochs_of, scores_of
from fakeprint.search.space import Plan, shown
from fakeprint.search.storage import GRACE, StoredSearch

if TYPE_CHECKING:
    import optuna

# Attributes of a trial that failed, and of one whose values had been tried
REASON, TWIN = "reason", "same as trial"
PLACE = "place"  # attribute of a trial: its place among those of the search, from 0; a killed one's is taken again
RUN = "mlflow run"  # attribute of the study: the id of the search's run
PAUSE = 0.5  # seconds between two looks at what other processes do
RANDOM_TRIALS = 8  # the first ones, before TPE uses their scores
UNPRUNED_TRIALS = 4  # before the median is meaningful


def study_name(plan: Plan) -> str:
    """The search's name and a digest of all that its scores depend on, besides the number of trials."""
    base = plan.settings({})
    search = plan.search.model_dump(exclude={"trials"})
    about = [search, plan.effective({}), base.seed, base.prepare.model_dump()]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    files = [ARRAYS / "train.npy", ARRAYS / "train.parquet", COPIES]
    if plan.kind == "network":
        from fakeprint.training.checkpoints import sources

        files += sources(plan.search.model)
    for file in files:
        if file.exists():
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return f"{plan.name}-{digest.hexdigest()[:16]}"


def fold_numbers(settings: Params) -> np.ndarray:
    """The fold of each train image, int64 (N,), in the order of data/arrays/train.npy.

    They are those of `prepare.fold`; with `calibrate.on: fold`, new ones of what is left without the calibration fold.

    Raises InputError where the arrays are not those that params.yaml describes.
    """
    rows = with_folds(load_manifest(), settings.prepare, settings.calibrate.on == "fold", settings.seed)
    rows = rows[rows["split"] == "train"]
    made, requested = load_dataset(), settings.prepare
    same_images = rows["image_id"].tolist() == load_index("train")["image_id"].tolist()
    if not same_images or (made.image_size, made.resize) != (requested.image_size, requested.resize):
        raise InputError(f"{ARRAYS / 'train.npy'} does not match params.yaml: run `dvc repro prepare` first")
    return folds(rows["label"].to_numpy(), rows["group"].to_numpy(), settings.prepare.folds, settings.seed)


def finished(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Trials with an outcome: a score, pruned, or failed for a known reason."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
    return [trial for trial in trials if trial.state != TrialState.FAIL or REASON in trial.user_attrs]


def best_trials(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Trials with a score, best first, equal ones by number; each set of values once."""
    scored = [trial for trial in finished(study) if trial.state.name == "COMPLETE" and TWIN not in trial.user_attrs]
    return sorted(scored, key=lambda trial: (-float(trial.value or 0), trial.number))


def values_of(plan: Plan, trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    """The trial's value for each path."""
    ranges = plan.search.ranges
    return {
        path: json.loads(stored) if ranges[path].choices is not None else stored
        for path, stored in trial.params.items()
    }


def run(
    plan: Plan, search: StoredSearch, trials: int, report: Callable[[str], None], tracked: tracking.TrackedSearch
) -> None:
    """Run trials until `trials` of them have an outcome, here or in other processes of the search.

    `report` is called with a line after each that ran here.
    """
    study, numbers = search.study, fold_numbers(plan.settings({}))
    before, since = len(finished(study)), time.perf_counter()
    wanted = total(plan, trials)
    while trial := _next_trial(plan, search, wanted, report):
        with search.alive(trial):
            _run_trial(plan, search, trial, numbers, tracked)
        count = len(finished(study))
        left = (time.perf_counter() - since) / max(1, count - before) * (wanted - count)
        report(line(plan, study, trial.number, count, trials, left))
        if tracked.ends:
            log_best(study, count, tracked)


def search_run(plan: Plan, search: StoredSearch, ends: bool = True) -> AbstractContextManager[tracking.TrackedSearch]:
    """MLflow's run of the search, which its processes share. ends: whether this one also ends it."""
    settings = plan.settings({})
    about = {
        "model": plan.search.model,
        "search": plan.search.model_dump(exclude_none=True),
        "seed": settings.seed,
    }
    agreed = functools.partial(search.agreed, RUN)
    return tracking.search_run(settings, f"search {plan.name}", search.name, plan.kind, about, agreed, ends)


def total(plan: Plan, trials: int) -> int:
    """How many trials there will be: as many as wanted, but a grid has only so many points."""
    return min(trials, len(_grid(plan))) if plan.search.sampler == "grid" else trials


def require_score(plan: Plan, study: "optuna.Study") -> None:
    """Raises InputError where no trial has a score."""
    if not best_trials(study):
        reasons = [trial.user_attrs.get(REASON, "pruned") for trial in finished(study)]
        raise InputError(f"{plan.path}: none of {len(reasons)} trials has a score; the last one failed: {reasons[-1]}")


def log_best(study: "optuna.Study", count: int, tracked: tracking.TrackedSearch) -> None:
    """Add the best score so far, after `count` trials, to the curve of the search's run."""
    best = best_trials(study)
    if best:
        tracked.log_epoch({"best_accuracy": float(best[0].value or 0)}, count)


def _grid(plan: Plan) -> list[tuple[Any, ...]]:
    return list(itertools.product(*(values.values() or [] for values in plan.search.ranges.values())))


def _next_trial(plan: Plan, search: StoredSearch, wanted: int, report: Callable[[str], None]) -> "optuna.Trial | None":
    """The next trial, at the first free place; None when all have an outcome.

    While other processes run the last trials, waits for them: if one is killed, its place is free again.
    """
    waits = False
    while True:
        with search.locked():
            search.release_dead()
            taken = {trial.user_attrs[PLACE] for trial in search.running()}
            # Trials of earlier versions have no place: they are the first, in order
            taken |= {trial.user_attrs.get(PLACE, rank) for rank, trial in enumerate(finished(search.study))}
            free = next((place for place in range(wanted) if place not in taken), None)
            if free is not None:
                return _drawn(plan, search, free)
            if len(finished(search.study)) >= wanted:
                return None
        if not waits:
            waits = True
            report(f"waiting for {wanted - len(finished(search.study))} trials of other processes")
        time.sleep(PAUSE)


def _drawn(plan: Plan, search: StoredSearch, place: int) -> "optuna.Trial":
    """A new trial, drawn from the scores there are. Only while `search` is locked."""
    import optuna

    study, ranges = search.study, plan.search.ranges
    seed = seeds.integer(plan.search.seed, f"search/{plan.name}", place)
    study.pruner = (
        optuna.pruners.MedianPruner(UNPRUNED_TRIALS, n_warmup_steps=epochs_of(plan, plan.settings({})) // 4)
        if plan.search.pruner == "median"
        else optuna.pruners.NopPruner()
    )
    study.sampler = optuna.samplers.RandomSampler(seed=seed)
    if plan.search.sampler == "tpe":
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
    elif plan.search.sampler == "grid":
        points = _grid(plan)
        order = seeds.generator(plan.search.seed, f"search/{plan.name}/grid").permutation(len(points))
        point = {path: ranges[path].stored(value) for path, value in zip(ranges, points[order[place]], strict=True)}
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            study.sampler = optuna.samplers.PartialFixedSampler(point, study.sampler)
    trial = search.new_trial()
    for path, values in ranges.items():
        values.drawn(trial, path)
    trial.set_user_attr(PLACE, place)
    search.taken(trial)
    return trial


def _twin(search: StoredSearch, trial: "optuna.Trial") -> "optuna.trial.FrozenTrial | None":
    """A trial with an outcome and the same values, if there is one. Waits for an earlier one that runs elsewhere."""
    while True:
        twin = next((each for each in finished(search.study) if each.params == trial.params), None)
        earlier = [each for each in search.running() if each.number < trial.number and each.params == trial.params]
        if twin or not earlier:
            return twin
        time.sleep(PAUSE)
        with search.locked():
            search.release_dead()


def _run_trial(
    plan: Plan, search: StoredSearch, trial: "optuna.Trial", numbers: np.ndarray, tracked: tracking.TrackedSearch
) -> None:
    """Run one trial and store its outcome, unless other processes gave it up. Values are not tried twice."""
    from optuna import TrialPruned
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    study = search.study
    try:
        twin = _twin(search, trial)
        if twin:
            trial.set_user_attr(TWIN, twin.number)
            if REASON in twin.user_attrs:
                trial.set_user_attr(REASON, twin.user_attrs[REASON])
            value = twin.value if twin.state == TrialState.COMPLETE else None
            study.tell(trial, value, state=twin.state, skip_if_finished=True)
            return
        try:
            scores = _scored(plan, search, trial, numbers, tracked)
        except TrialPruned:
            study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            return
        except InputError as error:  # these values cannot be trained: a kernel larger than the image, a diverging loss
            trial.set_user_attr(REASON, str(error))
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            return
        trial.set_user_attr("folds", scores)
        study.tell(trial, float(np.mean(scores)), skip_if_finished=True)
    except UpdateFinishedTrialError:  # it was given up: this machine slept, or was cut off, for longer than `GRACE`
        pass


def _scored(
    plan: Plan, search: StoredSearch, trial: "optuna.Trial", numbers: np.ndarray, tracked: tracking.TrackedSearch
) -> list[float]:
    """The score on each fold, in a run of MLflow's. Raises optuna.TrialPruned and InputError."""
    from optuna import TrialPruned

    values = values_of(plan, search.study.trials[trial.number])
    settings = plan.settings(values)
    with tracked.trial(
        f"{plan.search.model} trial {trial.number}",
        f"{search.name}/{trial.number}",
        plan.kind,
        {"model": plan.search.model, "seed": settings.seed, **plan.effective(values)},
    ) as tracked_run:
        try:
            scores = scores_of(plan, settings, trial, numbers, tracked_run)
        except TrialPruned:
            tracked_run.set_tags({"search.pruned": "true"})
            pruned = True
        else:
            pruned = False
            by_fold = dict(zip(map(str, plan.search.folds), scores, strict=True))
            tracked_run.log_metrics({"fold_accuracy": float(np.mean(scores)), "fold": by_fold})
    if pruned:  # not inside: its run has ended well
        raise TrialPruned
    return scores


def line(plan: Plan, study: "optuna.Study", number: int, count: int, trials: int, left: float) -> str:
    """`trial 3, 5 of 20: 0.6120, models.two_cnn.out1 = 32; best 0.6512 (trial 1); 12 min left`."""
    trial = study.trials[number]
    values = ", ".join(f"{path} = {shown(value)}" for path, value in values_of(plan, trial).items())
    if TWIN in trial.user_attrs:
        outcome = f"same values as trial {trial.user_attrs[TWIN]}"
    elif REASON in trial.user_attrs:
        outcome = f"failed ({trial.user_attrs[REASON]})"
    elif trial.state.name == "FAIL":
        outcome = f"given up, because it showed no sign of life for {GRACE} s; its values are tried again"
    else:
        outcome = f"{trial.value:.4f}" if trial.state.name == "COMPLETE" else "pruned"
    best = best_trials(study)
    top = f"; best {best[0].value:.4f} (trial {best[0].number})" if best else ""
    return f"trial {number}, {count} of {trials}: {outcome}, {values}{top}; {left / 60:.0f} min left"
