"""Search for good parameter values by trials on folds of the train images. Validation images are never used.

Run the same command again to continue after an interruption, or with a larger --trials to go further.
"""

import argparse
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fakeprint.errors import InputError
from fakeprint.files import main_root

SHOWN = 10  # of the best trials


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser("search", help="search for good parameter values", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="searches/NAME.yaml")
    parser.add_argument("--trials", type=int, metavar="N", help="total number of trials (default: as in the file)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trials at a time (default: 1)")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="database that several machines share, postgresql+psycopg://USER:PASSWORD@HOST/DATABASE "
        "(default: FAKEPRINT_SEARCH_STORAGE, else a file of this machine)",
    )
    parser.add_argument(
        "--study", metavar="NAME", help="write studies/NAME.yaml, which confirms the best trial over seeds"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Run the trials that are left and print the best. Raises InputError; Ctrl-C and SIGTERM exit with code 130."""
    from fakeprint.search import confirmation, influence, space, storage, trials

    for option, number in (("--trials", args.trials), ("--jobs", args.jobs)):
        if number is not None and number < 1:
            raise InputError(f"{option} should be at least 1, not {number}")
    plan = space.load(args.file)
    study_path = confirmation.study_file(args.study) if args.study else None
    place = storage.location(args.storage, main_root())
    with storage.opened(place, trials.study_name(plan), main_root()) as search:
        _run_trials(plan, search, args.trials or plan.search.trials, args.jobs)
        study = search.study
        Console().print(_table(plan, study))
        best = trials.values_of(plan, trials.best_trials(study)[0])
        shares = influence.importances(plan, study)
        files = influence.write(plan, study)
    if files:
        print("importance: " + ", ".join(f"{path} {share:.2f}" for path, share in shares.items()))
        print(f"pictures: {files[0].parent}")
    print(f"\ndvc exp run {_changes(plan, best)}")
    if study_path:
        confirmation.write_study(plan, best, study_path)
        print(f"fakeprint study run {study_path.stem}  # {study_path}: the best trial over seeds or folds")


def _run_trials(plan: Any, search: Any, wanted: int, jobs: int) -> None:
    from fakeprint.search import running, trials

    done, elsewhere = len(trials.finished(search.study)), len(search.running())
    if done:
        print(f"{plan.name}: continuing after {done} trials", flush=True)
    if elsewhere:
        print(f"{plan.name}: joining other processes, which run {elsewhere} trials now", flush=True)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        running.run(plan, search, wanted, jobs, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        done = len(trials.finished(search.study))
        print(
            f"{plan.name}: interrupted after {done} of {wanted} trials; run the same command to continue",
            file=sys.stderr,
        )
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _table(plan: Any, study: Any) -> Table:
    from fakeprint.search import space, trials

    folds = plan.search.folds
    where = f"fold {', '.join(map(str, folds))} of {plan.settings({}).prepare.folds} of train"
    table = Table(title=f"{plan.search.model} on {where}: {plan.settings({}).data.title}")
    for heading in ("trial", "accuracy", *(f"fold {fold}" for fold in folds if len(folds) > 1)):
        table.add_column(heading, justify="right")
    for path in plan.search.ranges:
        table.add_column(path, justify="right", overflow="fold")
    for trial in trials.best_trials(study)[:SHOWN]:
        single = [f"{score:.4f}" for score in trial.user_attrs["folds"] if len(folds) > 1]
        values = [space.shown(value) for value in trials.values_of(plan, trial).values()]
        table.add_row(str(trial.number), f"{trial.value:.4f}", *single, *values)
    states = [trial.state.name for trial in trials.finished(study)]
    table.caption = f"{len(states)} trials: {states.count('PRUNED')} pruned, {states.count('FAIL')} failed"
    return table


def _changes(plan: Any, values: dict[str, Any]) -> str:
    """`-S KEY=VALUE` for each key, with DVC's `+` before a key that is not in params.yaml yet."""
    from fakeprint.search import space

    changes = []
    for path, value in {**plan.search.fixed, **values}.items():
        new = "+" * (not _is_in(plan.content, path.split(".")))
        changes.append(f"-S {shlex.quote(f'{new}{path}={space.shown(value, exactly=True)}')}")
    model, listed = plan.search.model, f"{plan.kind}s"
    running = plan.content["run"][listed]
    if model not in running:
        changes.append(f"-S {shlex.quote(f'run.{listed}={space.shown([*running, model])}')}")
    return " ".join(changes)


def _is_in(content: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True
