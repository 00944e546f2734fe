"""One pass over the images: training steps, validation, batch norm's statistics of averaged weights."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from typing import Any

import torch
from torch import nn

from fakeprint import seeds
from fakeprint.training import device, distributed
from fakeprint.training.averaging import copied, recompute_batch_norm
from fakeprint.training.batches import Task, on_device, plain_batches
from fakeprint.training.device import Execution
from fakeprint.training.images import Images
from fakeprint.training.mixing import mixed
from fakeprint.training.optimisers import set_learning_rate
from fakeprint.training.run import Run

VALIDATION_BATCH = 256
CPU_IMAGES = 32  # per forward pass of validation on a CPU: as fast there, and less than half of the memory


def train_epoch(
    run: Run, images: Images, epoch: int, pool: ThreadPoolExecutor, seen: Callable[[int], Any]
) -> tuple[float, float]:
    """One pass over the training images: mean loss and accuracy. `seen(n)` is called after every n images."""
    phase, recipe, place = run.phase, run.recipe, run.execution.device
    part, parts = distributed.rank(), distributed.world()
    # Dropout's draws depend on the epoch, not on the epochs before it.
    torch.manual_seed(seeds.integer(recipe.seed, recipe.purpose, epoch, *[part] * (part > 0)))
    accumulate, steps = phase.batching.accumulate, phase.batching.steps(len(images))
    count = steps * accumulate
    tasks = phase.batching.tasks(images, recipe.seed, recipe.purpose, epoch, part, parts, count)
    mixes = phase.mixing.draw(count, recipe.seed, recipe.purpose, epoch)
    network = run.ready()
    losses, hits = [], []
    with device.quick_switches(), closing(on_device(tasks, pool, place)) as batches:
        for number, (batch, mix) in enumerate(zip(batches, mixes, strict=True)):
            inputs, targets = mixed(*batch, mix)
            last = (number + 1) % accumulate == 0
            with nullcontext() if last else distributed.without_sharing(network):
                with run.execution.autocast():
                    logits = network(inputs)
                loss = phase.criterion(logits.float(), targets)
                (loss / accumulate).backward()
            # Kept on the device: reading them here would make the host wait in every step.
            losses.append(loss.detach())
            hits.append(targets.hits(logits))
            if last:
                _step(run, learning_rate(run, number // accumulate, steps))
            seen(phase.batching.batch_size)
    distributed.share_buffers(run.network)
    if run.average:
        distributed.share_buffers(run.average.network)
    loss_sum, correct = distributed.summed(
        float(torch.stack(losses).mean()), float(torch.stack(hits).sum()), device=place
    )
    return loss_sum / parts, correct / (count * phase.batching.batch_size)


def learning_rate(run: Run, step: int, steps_per_epoch: int) -> float:
    """Of a step of the next epoch, counted from 0."""
    schedule, history = run.phase.schedule, run.history
    watched = history.figures(f"validation_{schedule.watch}")
    return schedule.rate(history.done * steps_per_epoch + step, steps_per_epoch, watched)


def _step(run: Run, lr: float) -> None:
    """One optimiser step with the gradients that have been computed."""
    set_learning_rate(run.optimiser, lr)
    if run.phase.clip:
        nn.utils.clip_grad_norm_(run.network.parameters(), run.phase.clip)
    run.optimiser.step()
    run.optimiser.zero_grad()
    if run.average:
        run.average.update()


@torch.inference_mode()
def validate(network: nn.Module, images: Images, execution: Execution, pool: ThreadPoolExecutor) -> tuple[float, float]:
    """Mean cross-entropy, without label smoothing, and accuracy over all images."""
    network.eval()
    losses, hits = [torch.zeros((), device=execution.device)], [torch.zeros((), device=execution.device)]
    tasks = plain_batches(images, VALIDATION_BATCH)[distributed.rank() :: distributed.world()]
    for inputs, labels in on_device(tasks, pool, execution.device):
        parts = inputs.split(CPU_IMAGES if execution.kind == "cpu" else VALIDATION_BATCH)
        with execution.autocast():
            logits = torch.cat([network(part) for part in parts])
        losses.append(nn.functional.cross_entropy(logits.float(), labels, reduction="sum"))
        hits.append((logits.argmax(1) == labels).sum())
    loss, correct = distributed.summed(
        float(torch.stack(losses).sum()), float(torch.stack(hits).sum()), device=execution.device
    )
    return loss / len(images), correct / len(images)


def keep_mean(run: Run, images: Images, epoch: int, pool: ThreadPoolExecutor) -> None:
    """Keep the mean of the last epochs' weights; batch norm's statistics are those of one more pass over the images."""
    run.network.load_state_dict(run.epoch_mean.weights)
    _keep_with_norm_of(run, run.phase.batching.tasks(images, run.recipe.seed, run.recipe.purpose, epoch), pool)


def keep_clean_norm(run: Run, images: Images, epoch: int, pool: ThreadPoolExecutor) -> None:
    """Give the kept weights batch norm statistics of one pass over the train images, without copies, as they are."""
    run.network.load_state_dict(run.best_weights)
    originals = images.originals()
    batching = run.phase.batching.clean(len(originals))
    # Shuffled: batches of one class would have too small a variance each.
    _keep_with_norm_of(run, batching.tasks(originals, run.recipe.seed, f"{run.recipe.purpose}/clean", epoch), pool)


def _keep_with_norm_of(run: Run, tasks: list[Task], pool: ThreadPoolExecutor) -> None:
    """Recompute batch norm's statistics from these batches, not those of a frozen body, and keep the weights."""
    with run.execution.autocast():
        inputs = (images for images, _ in on_device(tasks, pool, run.execution.device))
        recompute_batch_norm(run.network, inputs, run.trained_part)
    run.best_weights = copied(run.network)
