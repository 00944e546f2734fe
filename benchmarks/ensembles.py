"""Stacking with other settings on the predictions of a finished pipeline: on clean and on degraded validation images.

Each row is fitted on the members' predictions of the validation images and, but for "none", of their degraded copies
(`degrade.grid`), cross-fitted, so that no image is predicted by a fit that saw it or a copy of it. It is scored on
clean images and on each degradation of `robustness.grid`. Figures are means over several divisions into folds, of which
the first is the pipeline's own. Who picks a row by them has made a choice on validation.

The members' predictions must be stored (`robustness.models: []` stores those of all models).

`python -m benchmarks.ensembles [--ensemble robust] [--members NAME …] [--divisions 4] [--show CELL …] [--json FILE]`
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks.table import console
from fakeprint import params
from fakeprint.data.arrays import load_dataset
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import (
    DEGRADED,
    MEMBERS,
    Predictions,
    load_degraded_members,
    load_members,
    load_predictions,
)
from fakeprint.models.ensembles.combinations import members_that_run
from fakeprint.models.ensembles.fitting import cross_fit
from fakeprint.verdict.calibration import log_loss

CLEAN = "clean"
STRENGTHS = (1.0, 0.1, 0.01, 0.001)  # of C


@dataclass(frozen=True)
class Scored:
    """One combination: the copies that it is fitted on, C, and its mean log loss and accuracies, in %, by condition."""

    copies: str
    C: float
    log_loss: float
    accuracy: dict[str, float]

    @property
    def degraded(self) -> dict[str, float]:
        """The accuracies on degraded images, the worst first."""
        rows = [(name, value) for name, value in self.accuracy.items() if name != CLEAN]
        return dict(sorted(rows, key=lambda row: row[1]))


def copies_of(names: Sequence[str], chains: Sequence[str]) -> dict[str, list[str]]:
    """The choices of degraded copies to compare: none, all, and all but the chains of several degradations."""
    single = [name for name in names if name not in chains]
    return {"none": [], "all": list(names)} | ({"all but chains": single} if 0 < len(single) < len(names) else {})


def score(
    name: str,
    settings: params.Stacking,
    validation: Predictions,
    conditions: dict[str, np.ndarray],
    copies: tuple[str, list[np.ndarray]],
    seeds: Sequence[int],
) -> Scored:
    """Cross-fit and score one combination.

    Args:
        name: of the ensemble.
        settings: its block.
        validation: labels and groups of the images.
        conditions: "clean" and each degradation: the members' probabilities, float64 (N, M, C).
        copies: their name, and the members' probabilities of each of them.
        seeds: one per division into folds; the figures are means over them.
    """
    losses, hits = [], {name: list[float]() for name in conditions}
    for seed in seeds:
        data = (conditions[CLEAN], validation.labels, validation.groups, seed, copies[1])
        combination = cross_fit(name, settings, [], *data)
        losses.append(log_loss(combination(conditions[CLEAN]), validation.labels))
        for name, probabilities in conditions.items():
            hits[name].append(float(np.mean(combination(probabilities).argmax(axis=1) == validation.labels)))
    accuracy = {name: 100 * float(np.mean(each)) for name, each in hits.items()}
    return Scored(copies[0], settings.C, float(np.mean(losses)), accuracy)


def compare(name: str, members: list[str] | None, divisions: int) -> list[Scored]:
    """Score all combinations of copies and C for one ensemble of params.yaml. members: others than its own."""
    settings, classes = params.load(), load_dataset().classes
    ensemble = settings.ensembles.get(name)
    if not isinstance(ensemble, params.Stacking):
        raise SystemExit(f"{name} is not a stacking ensemble of params.yaml")
    names = members or members_that_run(name, ensemble, settings.run).names
    validation, clean = load_members(names, classes, "validation")
    conditions = {CLEAN: clean}
    for cell in settings.robustness.grid:
        each = [load_predictions(member, classes, "validation", DEGRADED / cell) for member in names]
        if any(one.image_ids.tolist() != validation.image_ids.tolist() for one in each):
            raise SystemExit(f"{DEGRADED / cell} is of other images than {MEMBERS}: run `dvc repro`")
        conditions[cell] = np.stack([one.probabilities for one in each], axis=1)
    degraded = load_degraded_members(names, classes)
    chains = [cell for cell, steps in settings.degrade.grid.items() if len(steps) > 1]
    return [
        score(
            name,
            ensemble.model_copy(update={"C": strength}),
            validation,
            conditions,
            (about, [degraded[cell] for cell in cells]),
            range(settings.seed, settings.seed + divisions),
        )
        for about, cells in copies_of(list(degraded), chains).items()
        for strength in STRENGTHS
    ]


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ensemble", default="robust", metavar="NAME", help="of params.yaml, by stacking")
    parser.add_argument("--members", nargs="+", metavar="NAME", help="others than those of params.yaml")
    parser.add_argument("--divisions", type=int, default=4, metavar="N", help="divisions into folds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--show", nargs="+", default=[], metavar="CELL", help="degradations to show, beside the worst")
    options = parser.parse_args()
    missing = [cell for cell in options.show if cell not in params.load().robustness.grid]
    if missing:
        raise SystemExit(f"--show: robustness.grid does not name {', '.join(missing)}")
    if options.divisions < 1:
        raise SystemExit("--divisions: at least 1")
    rows = compare(options.ensemble, options.members, options.divisions)
    table = Table(title=f"{options.ensemble}, accuracy in %", title_justify="left")
    table.add_column("fitted on copies", no_wrap=True)
    table.add_column("C", justify="right")
    for heading in (CLEAN, "log loss", "mean degraded", *options.show, "worst"):
        table.add_column(heading, justify="right")
    for each in rows:
        worst, value = next(iter(each.degraded.items()), ("–", float("nan")))
        mean = float(np.mean(list(each.degraded.values()))) if each.degraded else float("nan")
        shown = [f"{each.accuracy[cell]:.1f}" for cell in options.show]
        figures = [f"{each.accuracy[CLEAN]:.1f}", f"{each.log_loss:.3f}", f"{mean:.1f}", *shown]
        table.add_row(each.copies, f"{each.C:g}", *figures, f"{value:.1f} ({worst})")
    console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
