"""Run and keep studies: arms that differ in parameters, each with several seeds, from studies/NAME.yaml.

`run` goes on where an earlier run of the same command stopped, and computes no cell twice, also across studies.
Cells run in clones of the repository, so that nothing in this folder is touched.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from fakeprint.commands.study_report import add_report_parser, add_show_parser
from fakeprint.errors import InputError
from fakeprint.files import main_root

RUNNERS = ("temp", "queue", "direct")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its own subcommands."""
    parser = subparsers.add_parser("study", help="run studies: arms, seeds, reports", description=__doc__)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_run(actions)
    status = actions.add_parser("status", help="how many cells are done, run, wait or have failed, and why")
    _add_study(status)
    status.set_defaults(run=show_status)
    _add_study(add_show_parser(actions))
    _add_study(add_report_parser(actions))
    apply = actions.add_parser("apply", help="write an arm into params.yaml")
    _add_study(apply)
    apply.add_argument("arm", metavar="ARM", help="an arm of the study")
    apply.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    apply.set_defaults(run=apply_arm)
    remove = actions.add_parser("rm", help="remove a study's experiments, and nothing else")
    remove.add_argument("study", metavar="NAME", help="studies/NAME.yaml, or just NAME")
    remove.set_defaults(run=remove_study)
    take = actions.add_parser("take", help="take in the results of `run --runner direct` on another machine")
    take.add_argument("folder", type=Path, metavar="FOLDER", help="the folder that --out named on that machine")
    take.set_defaults(run=take_results)


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="FILE", help="studies/NAME.yaml, or just NAME")
    parser.add_argument("--preset", metavar="PRESET", help="replaces the file's preset (default: as in the last run)")
    parser.add_argument("--data", metavar="PATH", help="data.path: a folder, .zip or .tar (default: as last time)")
    parser.add_argument(
        "-S",
        dest="changes",
        action="append",
        metavar="KEY=VALUE",
        help="change one key after the study's baseline, as in `dvc exp run -S`; may be repeated",
    )


def _add_run(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser("run", help="run the cells that have no result yet", description=__doc__)
    _add_study(parser)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cells at a time (default: 1)")
    parser.add_argument(
        "--runner",
        choices=RUNNERS,
        default="temp",
        help="temp: DVC experiments; queue: by DVC's queue; direct: without DVC, into --out (default: temp)",
    )
    parser.add_argument("--hours", type=float, metavar="H", help="start no cell after so many hours")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where --runner direct works and leaves results")
    parser.add_argument("--again", action="store_true", help="also run the cells that failed by their own fault")
    parser.set_defaults(run=run)


def plan_of(args: argparse.Namespace, remembered: bool = True) -> Any:
    """The plan of the study that a command line names. remembered: options that it leaves out are the last run's."""
    from fakeprint.studies.plan import Options, load
    from fakeprint.studies.store import Store

    path = study_file(args.study)
    last = Store(main_root()).options(path.stem) if remembered else Options()
    changes = last.changes if args.changes is None else tuple(args.changes)
    return load(path, Options(args.preset or last.preset, args.data or last.data, changes))


def study_file(name: str) -> Path:
    """studies/NAME.yaml by its path or name."""
    from fakeprint.studies.plan import FOLDER

    return Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"


def run(args: argparse.Namespace) -> None:
    """Run what is left of a study. Raises InputError; Ctrl-C exits with code 130."""
    from fakeprint.studies.outcome import Finished
    from fakeprint.studies.running import Run
    from fakeprint.studies.store import Store

    if args.jobs < 1:
        raise InputError(f"--jobs should be at least 1, not {args.jobs}")
    if args.hours is not None and args.hours <= 0:
        raise InputError(f"--hours should be above 0, not {args.hours:g}")
    if (args.runner == "direct") != (args.out is not None):
        raise InputError("--out FOLDER and --runner direct belong together")
    plan, store = plan_of(args, remembered=False), Store(main_root())
    with store.locked(plan.name):
        runner = _runner(args, plan, store)
        finished = Finished(plan, store, args.out)
        if args.again:
            store.forget_failures(plan.cells(plan.arms(finished.mean())))
        study = Run(plan, store, runner, finished, lambda line: print(line, flush=True), args.hours)
        try:
            standing = study.go()
        except KeyboardInterrupt:
            print(f"{plan.name}: interrupted; run the same command to go on", file=sys.stderr)
            sys.exit(130)
    _print(plan.name, standing)
    if args.out is not None and standing.done:
        print(f"the results are in {args.out}; `fakeprint study take {args.out}` in your repository takes them in")
    if standing.failed:
        sys.exit(1)


def _runner(args: argparse.Namespace, plan: Any, store: Any) -> Any:
    if args.runner == "direct":
        from fakeprint.studies.runners.clones import require_committed
        from fakeprint.studies.runners.direct import DirectRunner

        if (store.root / ".git").exists() and shutil.which("git"):  # results belong to a commit, as those of DVC
            require_committed(store.root)
        return DirectRunner(plan.sources, plan.study.models, args.jobs, args.out.resolve())
    if args.runner == "queue":
        from fakeprint.studies.runners.queue import QueueRunner

        return QueueRunner(store, args.jobs)
    from fakeprint.studies.runners.temp import TempRunner

    return TempRunner(store, args.jobs)


def show_status(args: argparse.Namespace) -> None:
    """Print where a study stands. Raises InputError."""
    from fakeprint.studies.outcome import Finished, failed_by_own_fault
    from fakeprint.studies.running import standing_of
    from fakeprint.studies.store import Store

    plan, store = plan_of(args), Store(main_root())
    finished = Finished(plan, store)
    cells = plan.cells(plan.arms(finished.mean(failed_by_own_fault(plan, store))))
    unique = list({cell.key: cell for cell in cells}.values())
    running = set(store.running(plan.name))
    _print(plan.name, standing_of(finished, store, unique, running, store.jobs(plan.name)))


def _print(name: str, standing: Any) -> None:
    from fakeprint.studies.running import hours_shown

    counts = [f"{standing.done} done", f"{standing.running} running", f"{standing.waiting} not started"]
    counts.append(f"{sum(standing.failed.values())} failed")
    left = f"; about {hours_shown(standing.hours_left)} left" if standing.hours_left else ""
    print(f"{name}: {standing.cells} cells, {', '.join(counts)}{left}")
    for line, number in sorted(standing.failed.items(), key=lambda item: -item[1]):
        print(f"  {number} failed: {line}")


def apply_arm(args: argparse.Namespace) -> None:
    """Write an arm into params.yaml, as `fakeprint use` does. Raises InputError."""
    from fakeprint.commands.use import replace_params
    from fakeprint.params import suggestion
    from fakeprint.studies.outcome import Finished, failed_by_own_fault
    from fakeprint.studies.store import Store

    plan, store = plan_of(args), Store(main_root())
    finished = Finished(plan, store)
    arms = {arm.name: arm for arm in plan.arms(finished.mean(failed_by_own_fault(plan, store)))}
    name = plan.merged.get(args.arm, args.arm)
    if name not in arms:
        raise InputError(f"{plan.path}: '{args.arm}' is not an arm{suggestion(args.arm, arms)}")
    replace_params(plan.text(arms[name]), args.dry_run)


def remove_study(args: argparse.Namespace) -> None:
    """Remove a study's experiments. Raises InputError."""
    from fakeprint.studies.removal import remove as removed
    from fakeprint.studies.store import Store

    print(removed(Store(main_root()), study_file(args.study).stem))


def take_results(args: argparse.Namespace) -> None:
    """Take in results of another machine. Raises InputError."""
    from fakeprint.studies.store import Store
    from fakeprint.studies.taken import take

    new, known = take(Store(main_root()), args.folder)
    print(f"{args.folder}: {len(new)} results taken in" + f", {len(known)} were here already" * bool(known))
