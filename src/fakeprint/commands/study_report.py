"""`fakeprint study show` and `fakeprint study report`: what a study's finished cells say about its arms."""

import argparse
import os
from typing import Any

from rich.console import Console

from fakeprint.files import main_root


def add_show_parser(actions: Any) -> argparse.ArgumentParser:
    """Add `show` to the actions of `fakeprint study`; the caller adds what names the study."""
    parser: argparse.ArgumentParser = actions.add_parser(
        "show", help="a table of the arms, with intervals and verdicts"
    )
    parser.add_argument("--ui", action="store_true", help="serve MLflow's comparison of the study's runs")
    parser.add_argument("--port", type=int, default=5000, help="port of the local server (default: %(default)s)")
    parser.set_defaults(run=show)
    return parser


def add_report_parser(actions: Any) -> argparse.ArgumentParser:
    """Add `report`; the caller adds what names the study."""
    parser: argparse.ArgumentParser = actions.add_parser(
        "report", help="write docs/studies/NAME.md with pictures, and the study's run in MLflow"
    )
    parser.set_defaults(run=report)
    return parser


def show(args: argparse.Namespace) -> None:
    """Print a table per model, or become the server of MLflow's comparison. Raises InputError."""
    from fakeprint.commands.study import plan_of
    from fakeprint.studies import tables
    from fakeprint.studies.outcome import results_of
    from fakeprint.studies.statistics import analyse

    plan = plan_of(args)
    if args.ui:
        _serve(plan, args.port)
        return
    results = results_of(plan, main_root())
    tables.require_cells(results)
    statistics = analyse(results)
    for model in results.study.models:
        Console().print(tables.as_table(results, statistics, model))
    for line in tables.notes(results, statistics):
        print(line)


def _serve(plan: Any, port: int) -> None:
    from fakeprint import tracking

    page = tracking.compare_page(plan.baseline.tracking.experiment, plan.name, port)
    server = tracking.server(port)
    print(f"MLflow: {page}" + "   (Ctrl-C to stop)" * bool(server), flush=True)
    if server:
        command, environment = server
        os.execve(command[0], command, environment)


def report(args: argparse.Namespace) -> None:
    """Write the report, and the study's run in MLflow. Raises InputError if no cell is complete."""
    from fakeprint import tracking
    from fakeprint.commands.study import plan_of
    from fakeprint.studies import report as pages
    from fakeprint.studies import tables
    from fakeprint.studies.outcome import results_of
    from fakeprint.studies.statistics import analyse

    plan = plan_of(args)
    results = results_of(plan, main_root())
    tables.require_cells(results)
    statistics = analyse(results)
    files = pages.write(results, statistics)
    cells, taken = _compared(results)
    one = "fold" if results.study.folds else "seed"
    attached = tracking.record_study(
        plan.baseline,
        plan.name,
        about={
            "question": results.study.question,
            "preset": results.preset,
            **({"overrides": list(results.overrides)} if results.overrides else {}),
            f"{one}s": results.replicates,
        },
        aggregates=tables.as_json(results, statistics)["models"],
        table=tables.as_rows(results, statistics),
        files=[file for file in files if file.suffix in (".md", ".png")],
        cells=cells,
        taken=taken,
        description=pages.in_words(results, statistics),
    )
    for file in files:
        print(file)
    if attached:
        print(f"MLflow: {len(attached)} runs below 'study {plan.name}'; compare them with")
        print(f"        fakeprint study show {plan.name} --ui")


def _compared(results: Any) -> tuple[dict[tuple[str, str], str], list[Any]]:
    """Which cell each (DVC experiment, model) is, and the models of cells that have no experiment but were taken in."""
    from fakeprint import params
    from fakeprint.studies import experiments
    from fakeprint.studies.store import Store
    from fakeprint.tracking.taken import TakenModel

    root = main_root()
    of_keys = experiments.found(root) if (root / ".git").exists() else {}
    one = "fold" if results.study.folds else "seed"
    cells, taken = {}, []
    for each in results.cells:
        key, which = each.cell.key, f"{each.cell.arm}, {one} {each.cell.replicate}"
        for model in results.study.models:
            for experiment in of_keys.get(key, []):
                cells[experiment.name, model] = which
        folder = Store(root).taken(key)
        if key not in of_keys and folder.exists():
            settings = params.load(folder / "params.yaml")
            models = results.study.models
            taken += [TakenModel(key, model, settings, folder, which, each.seconds) for model in models]
    return cells, taken
