"""Shared by all benchmarks: alternating measurements, and their results as a table and as JSON rows."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

WIDTH = 220  # characters of a line that is not printed to a terminal; a table takes what it needs of it


@dataclass(frozen=True)
class Row:
    """One comparison. `ours` and `peer` are in `unit`.

    ratio: above 1 where ours is better. goal: the lowest acceptable ratio, or None.
    """

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    goal: float | None


def row(name: str, ours: float, peer: float, unit: str, better: Literal["higher", "lower"], goal: float | None) -> Row:
    """A row with its ratio. better: "higher" for rates, "lower" for times."""
    return Row(name, ours, peer, unit, ours / peer if better == "higher" else peer / ours, goal)


def measure_in_turn(ours: Callable[[], object], peer: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """Median seconds of a call of each, measured alternately (ours, peer, ours, peer, …) after one unmeasured call."""
    first, second = medians_in_turn([ours, peer], repeats)
    return first, second


def medians_in_turn(calls: Sequence[Callable[[], object]], repeats: int = 5) -> list[float]:
    """Median seconds of each call over `repeats` rounds of all calls, after one unmeasured round.

    The calls alternate because the speed of a machine drifts: this way all see the same drift.
    """
    for call in calls:
        call()
    rounds = [[_seconds(call) for call in calls] for _ in range(repeats)]
    return [statistics.median(seconds) for seconds in zip(*rounds, strict=True)]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def console() -> Console:
    """Where tables are printed. In a file or a pipe rich would cut them to 80 characters, figures included."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def json_option(description: str | None) -> Path | None:
    """Parse the command line of a benchmark, `[--json FILE]`, and return FILE."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    path: Path | None = parser.parse_args().json
    return path


def report(rows: Sequence[Row], title: str, json_path: Path | None = None) -> None:
    """Print the rows as a table. json_path: also write them to this file, as a JSON list."""
    table = Table("name", title=title, title_justify="left")
    for heading in ("ours", "peer", "unit", "ratio", "goal"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    for each in rows:
        missed = each.goal is not None and each.ratio < each.goal
        goal = "" if each.goal is None else f"≥ {each.goal:g}"
        figures = [_figure(each.ours), _figure(each.peer), each.unit, f"{each.ratio:.2f} ×", goal]
        table.add_row(each.name, *figures, style="red" if missed else None)
    console().print(table)
    if json_path:
        json_path.write_text(json.dumps([asdict(each) for each in rows], indent=2) + "\n", encoding="utf-8")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
