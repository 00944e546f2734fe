"""Time from packed arrays to a given validation accuracy, as in speedruns of CIFAR-10 (Jordan 2024, airbench).

`python -m benchmarks.speedrun NETWORK [--mark 94] [--runs 5] [--json FILE]`, in a repository whose stage `prepare` has
run: it trains the network as params.yaml says, on `data/arrays`, up to the first epoch whose validation accuracy is the
mark or more. The time of a run is that of everything between: mapping the arrays, building the network, the way to the
device, every epoch with its validation, and checkpoints. Each run has a seed of its own: train.seed, the next, ….

Before the first timed run there is one that is thrown away, of two steps and one validation batch: what it takes is the
warm-up (kernels chosen, and with `train.compile` compiled), in a row of its own. A later network is traced once
more, but takes its kernels from the compiler's cache; that is part of its run. The peer is the network alone,
which computes as many steps on one batch that never leaves memory. Validation accuracy is what training is watched by:
the figure says how fast the engine is, not how good the network.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.table import Row, report, row
from benchmarks.training import step
from fakeprint import params
from fakeprint.errors import InputError, one_line_errors
from fakeprint.models.networks import NETWORKS
from fakeprint.params import Params
from fakeprint.training import device
from fakeprint.training.batches import on_device
from fakeprint.training.checkpoints import Checkpoint
from fakeprint.training.device import Execution
from fakeprint.training.images import Images
from fakeprint.training.inputs import TrainingData, load_training_data
from fakeprint.training.loop import train
from fakeprint.training.run import Run
from fakeprint.training.start import start

WARM_UP_STEPS, PACE_STEPS, VALIDATED = 2, 5, 256
# Seconds on a GPU of today, after the warm-up and with it.
GPU_GOALS = (20.0, 60.0)


@dataclass(frozen=True)
class Attempt:
    """One run. seconds: until the mark was reached or training was over. epochs: that took. accuracy: its highest."""

    seconds: float
    epochs: int
    accuracy: float
    reached: bool


@dataclass(frozen=True)
class Speedrun:
    """All runs of a network. warm_up: seconds, once. pace: seconds that the network alone takes for one epoch's steps.

    mark: validation accuracy, in (0, 1].
    """

    network: str
    mark: float
    warm_up: float
    pace: float
    attempts: Sequence[Attempt]


class _Reached(Exception):
    """Ends a training that has reached the mark."""


def measure(everything: Params, network: str, mark: float, runs: int, execution: Execution) -> Speedrun:
    """The warm-up, then so many runs to the mark. Reads `data/arrays` of the current folder."""
    began = time.perf_counter()
    warmed = _warm_up(everything, network, execution)
    warm_up = time.perf_counter() - began
    seed = everything.training_seed(network)
    attempts = [_attempt(everything, network, mark, seed + number, execution) for number in range(runs)]
    return Speedrun(network, mark, warm_up, _pace(warmed, everything, network), attempts)


def _started(everything: Params, network: str, seed: int, execution: Execution) -> tuple[Run, TrainingData]:
    settings = everything.network(network)
    data = load_training_data(settings.train.augmented, everything.prepare.train_crops)
    with tempfile.TemporaryDirectory() as folder:  # `start` names a checkpoint, and writes none
        run, _ = start(settings, data, seed, execution, Path(folder))
    return run, data


def _warm_up(everything: Params, network: str, execution: Execution) -> Run:
    """An epoch of two steps and its validation, by the loop itself; returns what was trained."""
    run, data = _started(everything, network, everything.training_seed(network), execution)
    batching = run.phase.batching
    few = data.images.originals()
    rows = np.arange(min(len(few), WARM_UP_STEPS * batching.batch_size * batching.accumulate))
    validation = np.arange(min(len(data.validation), VALIDATED))
    only = (replace(run.phase, epochs=1),)
    run.recipe, run.history.phases = replace(run.recipe, phases=only), only  # later phases may need more images
    small = replace(data, images=_only(few, rows), validation=_only(data.validation, validation))
    with tempfile.TemporaryDirectory() as folder:
        train(run, small, Checkpoint(Path(folder) / "warm-up.pt"), lambda figures, epoch: None)
    return run


def _only(images: Images, rows: np.ndarray) -> Images:
    return Images([images.take(rows, np.zeros((len(rows), 2)))], images.labels[rows])


def _attempt(everything: Params, network: str, mark: float, seed: int, execution: Execution) -> Attempt:
    accuracies: list[float] = []
    epochs = 0

    def watch(figures: dict[str, float], epoch: int) -> None:
        nonlocal epochs
        epochs = epoch
        if "validation_accuracy" in figures:
            accuracies.append(figures["validation_accuracy"])
            if accuracies[-1] >= mark:
                raise _Reached

    reached, began = False, time.perf_counter()
    run, data = _started(everything, network, seed, execution)
    with tempfile.TemporaryDirectory() as folder:
        try:
            train(run, data, Checkpoint(Path(folder) / "run.pt"), watch)
        except _Reached:
            reached = True
        seconds = time.perf_counter() - began
    return Attempt(seconds, epochs, max(accuracies), reached)


def _pace(run: Run, everything: Params, network: str) -> float:
    """Seconds of the network alone for the steps of an epoch: the median of a few, times their number."""
    settings = everything.network(network).train
    images = load_training_data(settings.augmented, everything.prepare.train_crops).images
    batching = run.phase.batching
    with ThreadPoolExecutor(1) as pool:
        tasks = batching.tasks(images, run.recipe.seed, run.recipe.purpose, 1)
        one = next(on_device(tasks[:1], pool, run.execution.device))
    ready, seconds = run.ready(), []
    for _ in range(PACE_STEPS):
        began = time.perf_counter()
        float(step(run, ready, *one))  # waits until the device is done
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * batching.steps(len(images)) * batching.accumulate


def rows_of(found: Speedrun, on_gpu: bool) -> list[Row]:
    """The table. on_gpu: with the goals of a GPU."""
    name, to_mark = found.network, f"{found.network} to {100 * found.mark:g} %"
    reached = [each for each in found.attempts if each.reached]
    best = statistics.median(each.accuracy for each in found.attempts)
    rows = [
        row(f"{to_mark}: runs that reach it", len(reached), len(found.attempts), "runs", "higher", 1.0),
        row(f"{name}: highest accuracy", 100 * best, 100 * found.mark, "%", "higher", None),
    ]
    if not reached:
        return rows
    seconds = statistics.median(each.seconds for each in reached)
    alone = statistics.median(found.pace * each.epochs for each in reached)
    rows += [
        row(f"{to_mark}: after warm-up", seconds, alone, "s", "lower", 0.9 if on_gpu else None),
        row(f"{name}: warm-up, compilation", found.warm_up, seconds, "s", "lower", None),
        row(f"{to_mark}: with everything", found.warm_up + seconds, alone, "s", "lower", None),
    ]
    if on_gpu:
        for what, ours, goal in zip(
            ("after warm-up", "everything"), (seconds, found.warm_up + seconds), GPU_GOALS, strict=True
        ):
            rows.append(row(f"{to_mark}: {what}, goal", ours, goal, "s", "lower", 1.0))
    return rows


@one_line_errors
def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(NETWORKS), metavar="NETWORK", help="as in `models` of params.yaml")
    parser.add_argument("--mark", type=float, default=94.0, metavar="PERCENT", help="validation accuracy, default: 94")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="timed runs, each with another seed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    options = parser.parse_args(words)
    if not 0 < options.mark <= 100:
        parser.error("--mark is a percentage above 0, at most 100")
    if options.runs < 1:
        parser.error("--runs is at least 1")
    everything = params.load()
    if getattr(everything.models, options.network) is None:
        raise InputError(f"params.yaml has no block models.{options.network}; add `{options.network}: {{}}` to models")
    settings = everything.network(options.network).train
    execution = device.choose(settings.device, settings.precision)
    found = measure(everything, options.network, options.mark / 100, options.runs, execution)
    epochs = ", ".join(f"{each.epochs} epochs in {each.seconds:.1f} s" for each in found.attempts)
    report(rows_of(found, execution.kind == "cuda"), f"speedrun, {execution}: {epochs}", options.json)


if __name__ == "__main__":
    main()
