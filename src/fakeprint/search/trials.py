"""Trials, one after the other, stored by optuna and logged to MLflow. An interrupted search can be continued.

A search is identified by a digest of its file and of the parameters, data and network code that it depends on. The
same search continues where it stopped, any other one starts from the beginning. Each trial has its own seed, so that
an interrupted search ends with the same result as an uninterrupted one.
"""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from fakeprint import seeds, tracking
from fakeprint.data.arrays import ARRAYS, load_dataset, load_index
from fakeprint.data.manifest import load_manifest
from fakeprint.data.splits import folds, with_folds
from fakeprint.errors import InputError
from fakeprint.params import Params
from fakeprint.search.scoring import COPIES, epochs_of, scores_of
from fakeprint.search.space import Plan, shown

if TYPE_CHECKING:
    import optuna

STORAGE = Path(".fakeprint/searches.db")
REASON, TWIN = "reason", "same as trial"  # attributes of a trial that failed, and of one whose values had been tried
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
    """The fold of each train image, int64 (N,), in the order of data/arrays/train.npy: those of `prepare.fold`.

    Raises InputError where the arrays are not those that params.yaml describes.
    """
    rows = with_folds(load_manifest(), settings.prepare, settings.calibrate.on == "fold", settings.seed)
    rows = rows[rows["split"] == "train"]
    made, requested = load_dataset(), settings.prepare
    same_images = rows["image_id"].tolist() == load_index("train")["image_id"].tolist()
    if not same_images or (made.image_size, made.resize) != (requested.image_size, requested.resize):
        raise InputError(f"{ARRAYS / 'train.npy'} does not match params.yaml: run `dvc repro prepare` first")
    return folds(rows["label"].to_numpy(), rows["group"].to_numpy(), settings.prepare.folds, settings.seed)


@contextmanager
def opened(plan: Plan, root: Path) -> Iterator["optuna.Study"]:
    """The search's study in `.fakeprint/searches.db` of the main repository; trials that were killed are marked failed.

    Raises InputError if another process runs the search.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = study_name(plan)
    storage = root / STORAGE
    storage.parent.mkdir(exist_ok=True)
    try:
        with FileLock(storage.with_name(f"{name}.lock"), timeout=0):
            study = optuna.create_study(
                storage=f"sqlite:///{storage}", study_name=name, load_if_exists=True, direction="maximize"
            )
            for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            yield study
    except Timeout:
        raise InputError(f"{plan.path}: another process is running this search; wait for it or stop it") from None


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


def run(plan: Plan, study: "optuna.Study", trials: int, report: Callable[[str], None]) -> None:
    """Run trials until `trials` of them have an outcome; `report` is called with a line after each.

    Raises InputError if none has a score.
    """
    settings = plan.settings({})
    numbers = fold_numbers(settings)
    settings_to_log = {
        "model": plan.search.model,
        "search": plan.search.model_dump(exclude_none=True),
        "seed": settings.seed,
    }
    durations: list[float] = []
    with tracking.search_run(settings, f"search {plan.name}", study.study_name, plan.kind, settings_to_log) as tracked:
        while (count := len(finished(study))) < trials:
            started = time.perf_counter()
            trial = _next_trial(plan, study, count)
            if trial is None:
                report(f"the grid has only {count} trials")
                break
            _run_trial(plan, study, trial, numbers, tracked)
            durations.append(time.perf_counter() - started)
            left = sum(durations) / len(durations) * (trials - count - 1)
            report(_line(plan, study, trial.number, count + 1, trials, left))
            best = best_trials(study)
            if best:
                tracked.log_epoch({"best_accuracy": float(best[0].value or 0)}, count + 1)
    if not best_trials(study):
        reasons = [trial.user_attrs.get(REASON, "pruned") for trial in finished(study)]
        raise InputError(f"{plan.path}: none of {len(reasons)} trials has a score; the last one failed: {reasons[-1]}")


def _next_trial(plan: Plan, study: "optuna.Study", count: int) -> "optuna.Trial | None":
    """The next trial, drawn from the scores of the `count` before it; None if the grid is exhausted."""
    import optuna

    search = plan.search
    seed = seeds.integer(search.seed, f"search/{plan.name}", count)
    study.pruner = (
        optuna.pruners.MedianPruner(UNPRUNED_TRIALS, n_warmup_steps=epochs_of(plan, plan.settings({})) // 4)
        if search.pruner == "median"
        else optuna.pruners.NopPruner()
    )
    if search.sampler == "tpe":
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
    else:
        study.sampler = optuna.samplers.RandomSampler(seed=seed)
    if search.sampler == "grid":
        every = list(itertools.product(*(values.values() or [] for values in search.ranges.values())))
        if count >= len(every):
            return None
        order = seeds.generator(search.seed, f"search/{plan.name}/grid").permutation(len(every))
        chosen = zip(search.ranges, every[order[count]], strict=True)
        study.enqueue_trial({path: search.ranges[path].stored(value) for path, value in chosen})
    trial = study.ask()
    for path, values in search.ranges.items():
        values.drawn(trial, path)
    return trial


def _run_trial(
    plan: Plan, study: "optuna.Study", trial: "optuna.Trial", numbers: np.ndarray, tracked: tracking.TrackedSearch
) -> None:
    """Run one trial and store its outcome. Values that were tried before are not tried again."""
    from optuna import TrialPruned
    from optuna.trial import TrialState

    twin = next((each for each in finished(study) if each.params == trial.params), None)
    if twin:
        trial.set_user_attr(TWIN, twin.number)
        if REASON in twin.user_attrs:
            trial.set_user_attr(REASON, twin.user_attrs[REASON])
        study.tell(trial, twin.value if twin.state == TrialState.COMPLETE else None, state=twin.state)
        return
    values = values_of(plan, study.trials[trial.number])
    try:
        settings = plan.settings(values)
        with tracked.trial(
            f"{plan.search.model} trial {trial.number}",
            f"{study.study_name}/{trial.number}",
            plan.kind,
            {"model": plan.search.model, "seed": settings.seed, **plan.effective(values)},
        ) as tracked_run:
            try:
                scores = scores_of(plan, settings, trial, numbers, tracked_run)
            except TrialPruned:
                tracked_run.set_tags({"search.pruned": "true"})
                study.tell(trial, state=TrialState.PRUNED)
                return
            tracked_run.log_metrics(
                {
                    "fold_accuracy": float(np.mean(scores)),
                    "fold": dict(zip(map(str, plan.search.folds), scores, strict=True)),
                }
            )
    except InputError as error:  # these values cannot be trained: a kernel larger than the image, a diverging loss
        trial.set_user_attr(REASON, str(error))
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_user_attr("folds", scores)
    study.tell(trial, float(np.mean(scores)))


def _line(plan: Plan, study: "optuna.Study", number: int, count: int, trials: int, left: float) -> str:
    """`trial 3 of 20: 0.6120, models.two_cnn.out1 = 32; best 0.6512 (trial 1); 12 min left`."""
    trial = study.trials[number]
    values = ", ".join(f"{path} = {shown(value)}" for path, value in values_of(plan, trial).items())
    if TWIN in trial.user_attrs:
        outcome = f"same values as trial {trial.user_attrs[TWIN]}"
    elif REASON in trial.user_attrs:
        outcome = f"failed ({trial.user_attrs[REASON]})"
    else:
        outcome = f"{trial.value:.4f}" if trial.state.name == "COMPLETE" else "pruned"
    best = best_trials(study)
    top = f"; best {best[0].value:.4f} (trial {best[0].number})" if best else ""
    return f"trial {number}, {count} of {trials}: {outcome}, {values}{top}; {left / 60:.0f} min left"
