"""The loop: epochs of training steps, validation after each or some, the kept weights at the end."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fakeprint.errors import InputError
from fakeprint.training import device, distributed
from fakeprint.training.checkpoints import Checkpoint, Saver
from fakeprint.training.device import Execution
from fakeprint.training.history import Row
from fakeprint.training.images import Images, placed
from fakeprint.training.inputs import TrainingData
from fakeprint.training.reporting import Reporter
from fakeprint.training.run import Run
from fakeprint.training.steps import keep_clean_norm, keep_mean, learning_rate, train_epoch, validate

LogEpoch = Callable[[dict[str, float], int], None]


def train(run: Run, data: TrainingData, checkpoint: Checkpoint, log_epoch: LogEpoch) -> None:
    """Train until all phases are over; `run` then has its history, and its network the kept weights.

    Continues from the checkpoint if there is one; `log_epoch(figures, epoch)` is then called for its epochs too. On a
    CPU the same seed gives the same weights, whether training was interrupted or not.
    Raises InputError if the train split is smaller than a batch, `augment_on` asks for the impossible, the loss stops
    being a number, or the device lacks memory or what `deterministic` needs.
    """
    device.full_float32()
    _require_fitting(run, data)
    transforms = [phase.batching.augmentation.transforms for phase in run.recipe.phases]
    images, validation = placed(data.images, data.validation, run.recipe.augment_on, transforms, run.execution.device)
    if state := distributed.from_first(checkpoint.load):
        run.load_state_dict(state)
        for row in run.history.rows:
            _log(log_epoch, row)
    saver = Saver(checkpoint)
    with (
        ThreadPoolExecutor(batch_threads(run.execution)) as pool,
        Reporter(run, len(images)) as reporter,
        device.refusals_in_one_line(run.recipe.name),
    ):
        reporter.start(images)
        while not run.history.over:
            row = _epoch(run, images, validation, pool, reporter)
            if run.history.phase_over and not run.history.over:
                run.next_phase()
                reporter.phase()
            if distributed.rank() == 0:
                saver.save(run.state_dict, last=run.history.over)
            _log(log_epoch, row)
    run.network.load_state_dict(run.best_weights)


def _epoch(run: Run, images: Images, validation: Images, pool: ThreadPoolExecutor, reporter: Reporter) -> Row:
    """One epoch and its validation; adds its row to the history and returns it."""
    epoch = len(run.history.rows) + 1
    lr = learning_rate(run, 0, run.phase.batching.steps(len(images)))
    with reporter.timed():
        loss, accuracy = train_epoch(run, images, epoch, pool, reporter.seen)
    row: Row = {"epoch": epoch, "train_loss": loss, "train_accuracy": accuracy}
    if run.history.validates_next:
        figures = validate(run.validated, validation, run.execution, pool)
        row["validation_loss"], row["validation_accuracy"] = figures
    row["lr"] = lr
    losses = {key: row[f"{key}_loss"] for key in ("train", "validation") if f"{key}_loss" in row}
    if not all(map(math.isfinite, losses.values())):
        described = ", ".join(f"{key} {value:g}" for key, value in losses.items())
        raise InputError(
            f"{run.recipe.name}: the loss became NaN or infinite in epoch {epoch} ({described}); lower train.lr, now "
            f"{run.phase.schedule.lr:g}"
        )
    run.add_epoch(row)
    reporter.epoch(row)
    if run.epoch_mean.count and run.history.phase_over:
        keep_mean(run, images, epoch, pool)
        reporter.mean(*validate(run.network, validation, run.execution, pool))
    if run.phase.clean_norm and run.history.phase_over:
        keep_clean_norm(run, images, epoch, pool)
        reporter.clean_norm(*validate(run.network, validation, run.execution, pool))
    return row


def _require_fitting(run: Run, data: TrainingData) -> None:
    for phase in run.recipe.phases:
        phase.batching.require_enough(len(data.images))
        distributed.require_even_shares(phase.batching.batch_size, distributed.world())
    if not len(data.validation):
        raise InputError("the validation split has no images, so training cannot choose its best epoch")


def batch_threads(execution: Execution) -> int:
    """Threads that prepare batches: one on a CPU, where they compete with the network; more to keep a GPU busy."""
    cores = (os.cpu_count() or 1) // distributed.world()
    return 1 if execution.device == "cpu" else max(1, min(8, cores - 1))


def _log(log_epoch: LogEpoch, row: Row) -> None:
    log_epoch({key: value for key, value in row.items() if key != "epoch"}, int(row["epoch"]))
