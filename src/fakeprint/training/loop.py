"""The loop: epochs of shuffled, augmented batches, validation after each, the best epoch's weights at the end."""

import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from fakeprint import seeds
from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.params import NetworkSettings
from fakeprint.training.checkpoints import Checkpoint
from fakeprint.training.device import Execution
from fakeprint.training.images import Augmentation, Images, ahead, plain_batches, to_device, training_batches
from fakeprint.training.optimisation import Schedule, best_epoch, optimiser, should_stop

VALIDATION_BATCH = 256
History = list[dict[str, float]]


@dataclass
class Run:
    """A training run between two epochs: all that its next epoch depends on, besides seed, settings and data.

    history: one row an epoch (epoch, train_loss, train_accuracy, validation_loss, validation_accuracy, lr). Training
    figures are means over the epoch's steps, with dropout and augmentation; train_loss contains label smoothing,
    validation_loss does not. best: the weights of the first epoch of the highest validation accuracy.
    """

    design: networks.Design
    network: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    history: History = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracy of each epoch so far."""
        return [row["validation_accuracy"] for row in self.history]

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "optimiser", "schedule")}
        return {**parts, "history": self.history, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name in ("network", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.history, self.best = state["history"], state["best"]


def start(settings: NetworkSettings, images: Images, classes: int, seed: int, execution: Execution) -> Run:
    """A run before its first epoch, weights drawn from the seed. Raises InputError where the images are too small."""
    design = design_of(settings, images, classes)
    torch.manual_seed(seeds.integer(seed, f"train/{settings.name}/weights"))
    network = execution.place(networks.build(settings.name, design, settings.options))
    chosen = optimiser(settings.train, network.parameters())
    return Run(design, network, chosen, Schedule(settings.train, chosen))


def design_of(settings: NetworkSettings, images: Images, classes: int) -> networks.Design:
    """What the network is built from: the settings, and of the training images their size and colours."""
    asked = settings.model.model_dump()
    statistics: dict[str, Any] = {}
    if settings.model.normalisation == "dataset":
        mean, std = images.channel_statistics()
        statistics = {"channel_mean": mean, "channel_std": std}
    return networks.Design(classes, images.parts[0].shape[1], **asked, **statistics)


def train(
    run: Run,
    settings: NetworkSettings,
    images: Images,
    validation: Images,
    seed: int,
    execution: Execution,
    checkpoint: Checkpoint,
    log_epoch: Callable[[dict[str, float], int], None],
) -> None:
    """Train until the epochs are over or early stopping says so; `run` then has its history and best epoch's weights.

    Goes on from the checkpoint where there is one; `log_epoch(figures, epoch)` then gets its epochs too. On a CPU the
    same seed gives the same weights, in one go or in several.
    Raises InputError where the train split is smaller than a batch, or the loss stops being a number.
    """
    batch_size = settings.train.batch_size
    if batch_size > len(images):
        raise InputError(f"train.batch_size: {batch_size} is more than the {len(images)} training images there are")
    if not len(validation):
        raise InputError("the validation split holds no images: training can not choose its best epoch")
    kept = checkpoint.load()
    if kept:
        run.load_state_dict(kept)
        print(f"{settings.name}: going on after epoch {len(run.history)} of {settings.train.epochs}", flush=True)
        for row in run.history:
            _log(log_epoch, row)
    # One thread on a CPU, where it takes its time from the network; a GPU has to be fed.
    threads = 1 if execution.device == "cpu" else max(1, min(8, (os.cpu_count() or 1) - 1))
    with ThreadPoolExecutor(threads) as pool, _bar(settings, images, len(run.history)) as bar:
        while len(run.history) < settings.train.epochs and not should_stop(
            run.accuracies, settings.train.early_stopping
        ):
            row = _epoch(run, settings, images, validation, seed, execution, pool, bar)
            checkpoint.save(run.state_dict())
            _log(log_epoch, row)
    run.network.load_state_dict(run.best)


def _epoch(
    run: Run,
    settings: NetworkSettings,
    images: Images,
    validation: Images,
    seed: int,
    execution: Execution,
    pool: ThreadPoolExecutor,
    bar: "tqdm[Any]",
) -> dict[str, float]:
    """One epoch and its validation; adds its row to the history."""
    epoch, lr = len(run.history) + 1, run.schedule.lr
    started, before = time.perf_counter(), bar.n
    loss, accuracy = train_epoch(run, settings, images, seed, epoch, execution, pool, bar.update)
    rate = (bar.n - before) / (time.perf_counter() - started)
    validation_loss, validation_accuracy = validate(run.network, validation, execution, pool)
    if not (math.isfinite(loss) and math.isfinite(validation_loss)):
        raise InputError(
            f"{settings.name}: the loss is no longer a number in epoch {epoch} (train {loss:g}, validation "
            f"{validation_loss:g}); lower train.lr, now {settings.train.lr:g}"
        )
    row = {
        "epoch": epoch,
        "train_loss": loss,
        "train_accuracy": accuracy,
        "validation_loss": validation_loss,
        "validation_accuracy": validation_accuracy,
        "lr": lr,
    }
    run.history.append(row)
    run.schedule.step(validation_accuracy)
    best = best_epoch(run.accuracies)
    if best == epoch:
        run.best = {key: tensor.detach().cpu().clone() for key, tensor in run.network.state_dict().items()}
    bar.set_postfix_str(f"best {run.accuracies[best - 1]:.4f} in epoch {best}")
    bar.write(
        f"{settings.name} epoch {epoch}/{settings.train.epochs}: train loss {loss:.4f} accuracy {accuracy:.4f} · "
        f"validation loss {validation_loss:.4f} accuracy {validation_accuracy:.4f} · lr {lr:.3g} · "
        f"{rate:,.0f} images/s · best {run.accuracies[best - 1]:.4f} in epoch {best}"
    )
    sys.stdout.flush()
    return row


def train_epoch(
    run: Run,
    settings: NetworkSettings,
    images: Images,
    seed: int,
    epoch: int,
    execution: Execution,
    pool: ThreadPoolExecutor,
    seen: Callable[[int], Any],
) -> tuple[float, float]:
    """One pass over the training images: mean loss and accuracy. `seen(n)` is told of every n images."""
    purpose = f"train/{settings.name}"
    torch.manual_seed(
        seeds.integer(seed, purpose, epoch)
    )  # dropout's draws depend on the epoch, not on those before it
    criterion = nn.CrossEntropyLoss(label_smoothing=settings.train.label_smoothing)
    augmentation = Augmentation(settings.train.transforms, settings.train.one_degradation)
    tasks = training_batches(images, augmentation, settings.train.batch_size, seed, purpose, epoch)
    run.network.train()
    losses, hits = [], []
    for batch in ahead(tasks, pool):
        inputs, labels = to_device(batch, execution.device)
        with execution.autocast():
            logits = run.network(inputs)
        loss = criterion(logits.float(), labels)
        run.optimiser.zero_grad()
        loss.backward()
        run.optimiser.step()
        # Kept on the device: reading them here would make the device wait for every step.
        losses.append(loss.detach())
        hits.append((logits.argmax(1) == labels).sum())
        seen(len(labels))
    count = len(tasks) * settings.train.batch_size
    return float(torch.stack(losses).mean()), int(torch.stack(hits).sum()) / count


@torch.inference_mode()
def validate(network: nn.Module, images: Images, execution: Execution, pool: ThreadPoolExecutor) -> tuple[float, float]:
    """Mean cross-entropy, without label smoothing, and accuracy over all images."""
    network.eval()
    losses, hits = [], []
    for batch in ahead(plain_batches(images, VALIDATION_BATCH), pool):
        inputs, labels = to_device(batch, execution.device)
        with execution.autocast():
            logits = network(inputs)
        losses.append(nn.functional.cross_entropy(logits.float(), labels, reduction="sum"))
        hits.append((logits.argmax(1) == labels).sum())
    return float(torch.stack(losses).sum()) / len(images), int(torch.stack(hits).sum()) / len(images)


def _bar(settings: NetworkSettings, images: Images, done: int) -> "tqdm[Any]":
    """Over all images of all epochs, so that the time left is the whole run's; a line each 10 s in a log."""
    epoch = len(images) // settings.train.batch_size * settings.train.batch_size
    interval = 0.5 if sys.stderr.isatty() else 10.0
    return tqdm(
        desc=settings.name,
        total=settings.train.epochs * epoch,
        initial=done * epoch,
        unit="image",
        mininterval=interval,
        maxinterval=interval,
    )


def _log(log_epoch: Callable[[dict[str, float], int], None], row: dict[str, float]) -> None:
    log_epoch({key: value for key, value in row.items() if key != "epoch"}, int(row["epoch"]))
