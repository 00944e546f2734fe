"""The loop: epochs of shuffled, augmented batches, validation after each, one epoch's weights at the end."""

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from fakeprint import seeds
from fakeprint.augment.transforms import Warp
from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.params import NetworkSettings
from fakeprint.training import device, distributed
from fakeprint.training.averaging import MovingAverage, State, add_to_mean, recompute_batch_norm
from fakeprint.training.checkpoints import Checkpoint
from fakeprint.training.device import Execution
from fakeprint.training.images import (
    Augmentation,
    Images,
    ImagesThere,
    ahead,
    placed,
    plain_batches,
    to_device,
    training_batches,
)
from fakeprint.training.losses import class_weights, criterion
from fakeprint.training.mixing import mixed, mixes
from fakeprint.training.optimisation import best_epoch, learning_rate, optimiser, set_learning_rate, should_stop

VALIDATION_BATCH = 256
History = list[dict[str, float]]


class Run:
    """A training run between two epochs: all that its next epoch depends on, besides seed and data.

    settings: of the phase that it is in. history: one row an epoch of all phases (epoch, train_loss, train_accuracy,
    validation_loss, validation_accuracy, lr). Training figures are means over the epoch's steps, with dropout and
    augmentation; train_loss is what training minimises, validation_loss plain cross-entropy. lr is that of the epoch's
    first step. kept: the weights of the epoch that `keep` names among those of this phase so far, or, once they are
    over, the mean of the last epochs' with `swa`.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        design: networks.Design,
        classes: Sequence[str],
        network: nn.Module,
        execution: Execution,
    ) -> None:
        self.design, self.classes, self.network, self.execution = design, classes, network, execution
        self.phases = [settings.model_copy(update={"train": phase}) for phase in settings.train.in_phases()]
        self.trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        self.history: History = []
        self.kept: State = {}
        self._begin(0)

    def _begin(self, phase: int) -> None:
        """A phase starts: with a fresh optimiser, from the weights that the network has."""
        self.phase, self.earlier = phase, len(self.history)
        self.settings = self.phases[phase]
        self.optimiser = optimiser(self.settings.train, self.network)
        ema = self.settings.train.ema
        self.average = MovingAverage(self.network, ema) if ema else None
        self.mean: State = {}
        self.averaged = 0
        self.forward: nn.Module | None = None

    @property
    def epochs(self) -> int:
        """Of all phases, at most."""
        return sum(phase.train.epochs for phase in self.phases)

    @property
    def done(self) -> int:
        """Epochs of this phase that have ended."""
        return len(self.history) - self.earlier

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracy of each epoch of this phase so far."""
        return [row["validation_accuracy"] for row in self.history[self.earlier :]]

    @property
    def validated(self) -> nn.Module:
        """The network that is validated and kept: the moving average where there is one."""
        return self.average.network if self.average else self.network

    @property
    def kept_epoch(self) -> int:
        """The epoch, counted from 1 over all phases, whose weights are kept."""
        train = self.settings.train
        if train.keep == "last" or (train.swa and self.done == train.epochs):
            return len(self.history)
        return self.earlier + best_epoch(self.accuracies)

    @property
    def phase_over(self) -> bool:
        """Whether the epochs of this phase are over, or early stopping says so."""
        train = self.settings.train
        return self.done >= train.epochs or should_stop(self.accuracies, train.early_stopping)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to train."""
        return self.phase_over and self.phase == len(self.phases) - 1

    def next_phase(self) -> None:
        """Go on with the next phase, from this one's kept weights."""
        self.network.load_state_dict(self.kept)
        self._begin(self.phase + 1)

    def ready(self) -> nn.Module:
        """The network as training steps call it: all of it trained, or its head alone while the rest is frozen.

        What is frozen computes as in validation: no dropout, batch norm by its running statistics.
        """
        frozen = self.done < self.settings.train.freeze
        before = [parameter.requires_grad for parameter in self.network.parameters()]
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in self.trained and (not frozen or name.startswith("head.")))
        self.network.train()
        if frozen:
            self.network.eval()
            self.network.head.train()  # type: ignore[union-attr]
        if self.forward is None or before != [parameter.requires_grad for parameter in self.network.parameters()]:
            called = distributed.parallel(self.network, self.execution.device)
            self.forward = device.compiled(called, self.execution) if self.settings.train.compile else called
        return self.forward

    def add_to_mean(self) -> None:
        """With `swa`, count this epoch's weights in where it is one of the last."""
        train = self.settings.train
        if train.swa and self.done > train.epochs - max(1, round(train.swa * train.epochs)):
            self.mean = add_to_mean(self.mean, _copied(self.network), self.averaged)
            self.averaged += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        parts = {name: part.state_dict() for name, part in self._parts()}
        return {**parts, **{name: getattr(self, name) for name in self._VALUES}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._begin(state["phase"])
        for name, part in self._parts():
            part.load_state_dict(state[name])
        for name in self._VALUES:
            setattr(self, name, state[name])

    _VALUES = ("phase", "earlier", "history", "kept", "mean", "averaged")

    def _parts(self) -> list[tuple[str, Any]]:
        parts = [(name, getattr(self, name)) for name in ("network", "optimiser", "average")]
        return [(name, part) for name, part in parts if part is not None]


def _copied(network: nn.Module) -> State:
    return {key: tensor.detach().cpu().clone() for key, tensor in network.state_dict().items()}


def start(settings: NetworkSettings, images: Images, classes: Sequence[str], seed: int, execution: Execution) -> Run:
    """A run before its first epoch, weights drawn from the seed.

    Raises InputError where the images are too small, `class_weights` names a class that there is not, or `freeze` is
    asked of a network that has no head.
    """
    design = design_of(settings, images, len(classes))
    torch.manual_seed(seeds.integer(seed, f"train/{settings.name}/weights"))
    network = networks.build(settings.name, design, settings.options)
    if settings.train.deterministic and execution.device == "cuda":
        network = device.with_repeatable_pools(network)
    network = execution.place(network)
    if execution.device == "cuda" and distributed.world() > 1:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    run = Run(settings, design, classes, network, execution)
    for phase in run.phases:
        class_weights(phase.train.class_weights, images.labels, classes)
        if phase.train.freeze and not isinstance(getattr(network, "head", None), nn.Module):
            raise InputError(f"train.freeze: {settings.name} has no head that could be trained alone; set it to 0")
    return run


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
    images: Images,
    validation: Images,
    seed: int,
    checkpoint: Checkpoint,
    log_epoch: Callable[[dict[str, float], int], None],
) -> None:
    """Train until all phases are over; `run` then has its history, and its network the kept weights.

    Goes on from the checkpoint where there is one; `log_epoch(figures, epoch)` then gets its epochs too. On a CPU the
    same seed gives the same weights, in one go or in several.
    Raises InputError where the train split is smaller than a batch, `augment_on` asks for what can not be, the loss
    stops being a number, or the device lacks memory or what `deterministic` needs.
    """
    name = run.settings.name
    device.full_float32()
    for phase in run.phases:
        _check(phase, len(images))
    if not len(validation):
        raise InputError("the validation split holds no images: training can not choose its best epoch")
    images, validation = placed(images, validation, [phase.train for phase in run.phases], run.execution.device)
    kept = distributed.from_first(checkpoint.load)
    if kept:
        run.load_state_dict(kept)
        for row in run.history:
            _log(log_epoch, row)
    threads = ThreadPoolExecutor(_threads(run.execution))
    with threads as pool, _bar(run, images) as bar, device.refusals_in_one_line(name):
        if isinstance(images, ImagesThere):
            _say(bar, f"{name}: images lie on {run.execution.device} and are augmented there")
        if kept:
            _say(bar, f"{name}: going on after epoch {len(run.history)} of {run.epochs}")
        while not run.over:
            row = _epoch(run, images, validation, seed, pool, bar)
            if run.phase_over and not run.over:
                run.next_phase()
                _say(bar, f"{name}: phase {run.phase + 1} of {len(run.phases)}, on from the weights kept so far")
            if distributed.rank() == 0:
                checkpoint.save(run.state_dict())
            _log(log_epoch, row)
    run.network.load_state_dict(run.kept)


def _threads(execution: Execution) -> int:
    """One on a CPU, where it takes its time from the network; a GPU has to be fed."""
    cores = (os.cpu_count() or 1) // distributed.world()
    return 1 if execution.device == "cpu" else max(1, min(8, cores - 1))


def _check(settings: NetworkSettings, images: int) -> None:
    train, processes = settings.train, distributed.world()
    if train.batch_size > images:
        raise InputError(f"train.batch_size: {train.batch_size} is more than the {images} training images there are")
    if train.batch_size * train.accumulate > images:
        raise InputError(
            f"train.accumulate: {train.accumulate} batches of {train.batch_size} are more than the {images} training "
            "images there are"
        )
    if train.batch_size % processes:
        raise InputError(f"train.batch_size: {train.batch_size} can not be shared by {processes} devices evenly")


def steps_an_epoch(settings: NetworkSettings, images: int) -> int:
    """The optimiser's steps in one pass over so many images; those that fill no step are left out."""
    return images // (settings.train.batch_size * settings.train.accumulate)


def _epoch(
    run: Run, images: Images, validation: Images, seed: int, pool: ThreadPoolExecutor, bar: "tqdm[Any]"
) -> dict[str, float]:
    """One epoch and its validation; adds its row to the history."""
    name = run.settings.name
    epoch, lr = len(run.history) + 1, _learning_rate(run, len(images), 0)
    started, before = time.perf_counter(), bar.n
    loss, accuracy = train_epoch(run, images, seed, epoch, pool, bar.update)
    rate = (bar.n - before) / (time.perf_counter() - started)
    validation_loss, validation_accuracy = validate(run.validated, validation, run.execution, pool)
    if not (math.isfinite(loss) and math.isfinite(validation_loss)):
        raise InputError(
            f"{name}: the loss is no longer a number in epoch {epoch} (train {loss:g}, validation "
            f"{validation_loss:g}); lower train.lr, now {run.settings.train.lr:g}"
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
    run.add_to_mean()
    if run.kept_epoch == epoch:
        run.kept = _copied(run.validated)
    best = best_epoch(run.accuracies)
    told = f"best {run.accuracies[best - 1]:.4f} in epoch {run.earlier + best}"
    bar.set_postfix_str(told)
    _say(
        bar,
        f"{name} epoch {epoch}/{run.epochs}: train loss {loss:.4f} accuracy {accuracy:.4f} · "
        f"validation loss {validation_loss:.4f} accuracy {validation_accuracy:.4f} · lr {lr:.3g} · "
        f"{rate:,.0f} images/s · {told}",
    )
    if run.averaged and run.phase_over:
        _keep_mean(run, images, validation, seed, epoch, pool, bar)
    return row


def _keep_mean(
    run: Run, images: Images, validation: Images, seed: int, epoch: int, pool: ThreadPoolExecutor, bar: "tqdm[Any]"
) -> None:
    """Keep the mean of the last epochs' weights, batch norm's statistics those of one more pass over the images."""
    run.network.load_state_dict(run.mean)
    tasks = epoch_batches(run.settings, images, seed, epoch, 0, 1)
    with run.execution.autocast():
        recompute_batch_norm(run.network, (to_device(batch, run.execution.device)[0] for batch in ahead(tasks, pool)))
    run.kept = _copied(run.network)
    loss, accuracy = validate(run.network, validation, run.execution, pool)
    _say(
        bar,
        f"{run.settings.name}: mean of the weights of {run.averaged} epochs: validation loss {loss:.4f} "
        f"accuracy {accuracy:.4f}",
    )


def epoch_batches(
    settings: NetworkSettings, images: Images, seed: int, epoch: int, part: int, parts: int
) -> list[Callable[[], Any]]:
    """One epoch's batches as tasks, by the settings; of each batch the images of process `part` of `parts`."""
    loop = settings.train
    return training_batches(
        images,
        Augmentation(loop.transforms, loop.one_degradation, Warp(loop.interpolation, loop.fill)),
        loop.batch_size,
        seed,
        f"train/{settings.name}",
        epoch,
        balanced=loop.sampling == "balanced",
        part=part,
        parts=parts,
    )


def train_epoch(
    run: Run, images: Images, seed: int, epoch: int, pool: ThreadPoolExecutor, seen: Callable[[int], Any]
) -> tuple[float, float]:
    """One pass over the training images: mean loss and accuracy. `seen(n)` is told of every n images."""
    settings, execution, loop = run.settings, run.execution, run.settings.train
    purpose, part, parts = f"train/{settings.name}", distributed.rank(), distributed.world()
    # Dropout's draws depend on the epoch, not on those before it.
    torch.manual_seed(seeds.integer(seed, purpose, epoch, *[part] * (part > 0)))
    loss_of = criterion(loop, images.labels, run.classes, execution.device)
    count = steps_an_epoch(settings, len(images)) * loop.accumulate
    tasks = epoch_batches(settings, images, seed, epoch, part, parts)[:count]
    network = run.ready()
    losses, hits = [], []
    with device.quick_switches():
        for number, (batch, mix) in enumerate(
            zip(ahead(tasks, pool), mixes(loop, count, seed, purpose, epoch), strict=True)
        ):
            inputs, targets = mixed(*to_device(batch, execution.device), mix)
            last = (number + 1) % loop.accumulate == 0
            with nullcontext() if last else distributed.without_sharing(network):
                with execution.autocast():
                    logits = network(inputs)
                loss = loss_of(logits.float(), targets)
                (loss / loop.accumulate).backward()
            # Kept on the device: reading them here would make the device wait for every step.
            losses.append(loss.detach())
            hits.append(targets.hits(logits))
            if last:
                set_learning_rate(run.optimiser, _learning_rate(run, len(images), number // loop.accumulate))
                _step(run)
            seen(loop.batch_size)
    distributed.share_buffers(run.network)
    if run.average:
        distributed.share_buffers(run.average.network)
    loss_sum, right = distributed.summed(
        float(torch.stack(losses).mean()), float(torch.stack(hits).sum()), device=execution.device
    )
    return loss_sum / parts, right / (count * loop.batch_size)


def _step(run: Run) -> None:
    """Let the optimiser use the gradients."""
    if run.settings.train.clip:
        nn.utils.clip_grad_norm_(run.network.parameters(), run.settings.train.clip)
    run.optimiser.step()
    run.optimiser.zero_grad()
    if run.average:
        run.average.update()


def _learning_rate(run: Run, images: int, step: int) -> float:
    """Of a step of the epoch that comes next, counted from 0."""
    steps, train = steps_an_epoch(run.settings, images), run.settings.train
    watched = [row[f"validation_{train.plateau_on}"] for row in run.history[run.earlier :]]
    return learning_rate(train, run.done * steps + step, steps, watched)


@torch.inference_mode()
def validate(network: nn.Module, images: Images, execution: Execution, pool: ThreadPoolExecutor) -> tuple[float, float]:
    """Mean cross-entropy, without label smoothing, and accuracy over all images."""
    network.eval()
    losses, hits = [torch.zeros((), device=execution.device)], [torch.zeros((), device=execution.device)]
    tasks = plain_batches(images, VALIDATION_BATCH)[distributed.rank() :: distributed.world()]
    for batch in ahead(tasks, pool):
        inputs, labels = to_device(batch, execution.device)
        with execution.autocast():
            logits = network(inputs)
        losses.append(nn.functional.cross_entropy(logits.float(), labels, reduction="sum"))
        hits.append((logits.argmax(1) == labels).sum())
    loss, right = distributed.summed(
        float(torch.stack(losses).sum()), float(torch.stack(hits).sum()), device=execution.device
    )
    return loss / len(images), right / len(images)


def _bar(run: Run, images: Images) -> "tqdm[Any]":
    """Over all images of all epochs, so that the time left is the whole run's; a line each 10 s in a log."""
    settled = [phase for phase in run.phases for _ in range(phase.train.epochs)]
    seen = [steps_an_epoch(phase, len(images)) * phase.train.batch_size * phase.train.accumulate for phase in settled]
    interval = 0.5 if sys.stderr.isatty() else 10.0
    return tqdm(
        desc=run.settings.name,
        total=sum(seen),
        initial=sum(seen[: len(run.history)]),
        unit="image",
        mininterval=interval,
        maxinterval=interval,
        disable=distributed.rank() > 0,
    )


def _say(bar: "tqdm[Any]", line: str) -> None:
    """Above the bar, by the first process."""
    if distributed.rank() == 0:
        bar.write(line)
        sys.stdout.flush()


def _log(log_epoch: Callable[[dict[str, float], int], None], row: dict[str, float]) -> None:
    log_epoch({key: value for key, value in row.items() if key != "epoch"}, int(row["epoch"]))
