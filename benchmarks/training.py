"""Training: the real loop against (a) the network alone and (b) the usual loop around it.

(a) the same network on one batch that never leaves memory, neither mixed nor averaged: what is lost to all that is not
its forward and backward pass, the loss and the optimiser. (b) torchvision's ImageFolder of PNG files, its v2 transforms
with the same probabilities and ranges, a DataLoader with a worker a core, v2's CutMix and MixUp, torch's AveragedModel,
batches channels last. Same network, batch size, optimiser, precision and compilation: all that presets/unibuc.yaml and
unibuc-best.yaml say, on 100×100 images, and the demo's networks, a quarter as wide, on 64×64. A repeat of ours is an
epoch of training (shuffling, augmentation, the way to the device, mixing, averages), one of the peers as many steps.

The first row is deterministic mode against the usual one, the second TraceNet's fused optimiser against one that goes
from tensor to tensor; where steps run in bfloat16, one row a network is its image layer in float32, as it is, against
one in bfloat16 too.
`python -m benchmarks.training [--json FILE]`
"""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.augmentation import in_torchvision
from benchmarks.table import Row, json_option, measure_in_turn, medians_in_turn, report, row
from fakeprint import params
from fakeprint.models.networks.layers import InFloat32
from fakeprint.params import NetworkSettings
from fakeprint.presets import overlaid_content
from fakeprint.training import device
from fakeprint.training.batches import on_device, to_device
from fakeprint.training.images import Images, placed
from fakeprint.training.loop import batch_threads
from fakeprint.training.recipe import build_recipe
from fakeprint.training.run import Run, new_run
from fakeprint.training.steps import train_epoch

CLASSES, REPEATS, SEED = list("abcde"), 5, 7
STEPS = 20  # of an optimiser alone, per repeat
DEMO, UNIBUC, UNIBUC_BEST = (Path(f"presets/{name}.yaml") for name in ("demo", "unibuc", "unibuc-best"))


@dataclass(frozen=True)
class Case:
    """A network as a preset trains it, on images of this side in pixels, so many steps an epoch."""

    name: str
    preset: Path
    side: int
    steps: int

    def settings(self) -> NetworkSettings:
        """What the preset says of the network."""
        return params.parse(overlaid_content(self.preset)).network(self.name)


CASES = [
    Case("hist_cnn", UNIBUC, 100, 16),
    Case("three_cnn", UNIBUC, 100, 32),
    Case("trace_net", UNIBUC_BEST, 100, 6),
    Case("hist_cnn", DEMO, 64, 96),
    Case("three_cnn", DEMO, 64, 96),
]


def pictures(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise, uint8 (count, side, side, 3), and labels: what JPEG has to do depends on content."""
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in rough]), np.arange(count) % len(CLASSES)


def as_files(images: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """The images, uint8 (N, H, W, 3), as PNG files, one folder per class."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = folder / CLASSES[label] / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(file), image[..., ::-1])


def loader(folder: Path, settings: NetworkSettings, side: int) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """The usual one: decode, transform and collate in a worker process a core."""
    to_tensor = [v2.PILToTensor(), in_torchvision(settings.train.transforms, side)]
    transform = v2.Compose([*to_tensor, v2.ToDtype(torch.float32, scale=True)])
    workers = os.cpu_count() or 1
    return DataLoader(
        ImageFolder(str(folder), transform),
        settings.train.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
    )


def mixing(settings: NetworkSettings) -> v2.Transform:
    """Mixup and CutMix of torchvision as training draws them; labels become probabilities (N, classes)."""
    train = settings.train
    kinds = {v2.MixUp: train.mixup, v2.CutMix: train.cutmix}
    chosen = [kind(alpha=alpha, num_classes=len(CLASSES)) for kind, alpha in kinds.items() if alpha]
    return v2.RandomApply([v2.RandomChoice(chosen)], p=train.mix_p) if chosen else v2.Identity()


def averaged(run: Run) -> AveragedModel | None:
    """Torch's moving average of the weights and of batch norm's statistics, where training has one."""
    decay = run.phase.averaging.ema
    if not decay:
        return None
    return AveragedModel(run.network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def step(run: Run, network: torch.nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One step of the plain loop; the loss, still on the device. network: what `Run.ready` returned."""
    with run.execution.autocast():
        logits = network(inputs)
    loss = torch.nn.functional.cross_entropy(logits.float(), labels, label_smoothing=run.phase.criterion.smoothing)
    run.optimiser.zero_grad()
    loss.backward()
    run.optimiser.step()
    return loss.detach()


def compared(case: Case, execution: device.Execution, folder: Path) -> list[Row]:
    """The rows of one network."""
    settings = case.settings()
    train = settings.train
    drawn, labels = pictures(case.steps * train.batch_size, case.side)
    images = Images([drawn], labels)
    as_files(drawn, labels, folder)
    run = new_run(build_recipe(settings, images, CLASSES, SEED, execution.device), execution)
    images, _ = placed(images, images, train.augment_on, [train.transforms], execution.device)
    one = to_device((drawn[: train.batch_size], labels[: train.batch_size]), execution.device)
    files, mix, average = loader(folder, settings, case.side), mixing(settings), averaged(run)

    def ours() -> None:
        with ThreadPoolExecutor(batch_threads(execution)) as pool:
            train_epoch(run, images, 1, pool, lambda count: None)

    def network_alone() -> None:
        network = run.ready()
        float(sum(step(run, network, *one) for _ in range(case.steps)))  # waits until the device is done

    def usual_step(network: torch.nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        inputs = inputs.to(execution.device, memory_format=torch.channels_last, non_blocking=True)
        loss = step(run, network, *mix(inputs, labels.to(execution.device, non_blocking=True)))
        if average:
            average.update_parameters(run.network)
        return loss

    def usual_loop() -> None:
        network = run.ready()
        float(sum(usual_step(network, *batch) for batch in files))

    rate, alone, usual = (
        len(images) / seconds for seconds in medians_in_turn([ours, network_alone, usual_loop], REPEATS)
    )
    goal = 0.95 if execution.device == "cpu" else 0.9
    name = f"{case.name}, {case.preset.stem}"
    first = measure_in_turn(lambda: _our_first_batch(run, images), lambda: _usual_first_batch(folder, case), REPEATS)
    left = alone / usual  # what the usual loop would gain without its data path
    epochs = len(images) / rate, len(images) / usual
    return [
        row(f"{name}: network alone", rate, alone, "images/s", "higher", goal),
        row(f"{name}: ImageFolder loop", rate, usual, "images/s", "higher", round(goal * left, 2)),
        row(f"{name}: epoch of {len(images):,}", *epochs, "s", "lower", None),
        row(f"{name}: first batch", *first, "s", "lower", 1.0),
    ]


def deterministic(case: Case, execution: device.Execution) -> Row:
    """What deterministic mode costs; nothing on a CPU, which computes the same bits in either mode."""
    settings = case.settings()
    images = Images(*_in_one_part(pictures(case.steps * settings.train.batch_size, case.side)))

    def epochs_of(deterministic: bool) -> Callable[[], None]:
        train = settings.train.model_copy(update={"deterministic": deterministic})
        chosen = settings.model_copy(update={"train": train})
        run = new_run(build_recipe(chosen, images, CLASSES, SEED, execution.device), execution)
        placed_images, _ = placed(images, images, train.augment_on, [train.transforms], execution.device)

        def epoch() -> None:
            device.reproducible(execution, deterministic)
            with ThreadPoolExecutor(batch_threads(execution)) as pool:
                train_epoch(run, placed_images, 1, pool, lambda count: None)

        return epoch

    in_order, freely = (
        len(images) / seconds for seconds in measure_in_turn(epochs_of(True), epochs_of(False), REPEATS)
    )
    return row(f"{case.name}, {case.preset.stem}: deterministic", in_order, freely, "images/s", "higher", None)


def image_layer(case: Case, execution: device.Execution) -> Row:
    """What it costs that the layer which sees the image computes in float32: steps on one batch."""
    settings = case.settings()
    batch = settings.train.batch_size
    drawn, labels = pictures(batch, case.side)
    images = Images([drawn], labels)
    recipe = build_recipe(settings, images, CLASSES, SEED, execution.device)
    runs = [new_run(recipe, execution) for _ in range(2)]
    for layer in runs[1].network.modules():
        if isinstance(layer, InFloat32):
            layer.__class__ = type(layer).__bases__[1]
    one = to_device((drawn, labels), execution.device)

    def steps(run: Run) -> Callable[[], None]:
        def some() -> None:
            network = run.ready()
            float(sum(step(run, network, *one) for _ in range(case.steps)))  # waits until the device is done

        return some

    seconds = measure_in_turn(steps(runs[0]), steps(runs[1]), REPEATS)
    exact, rounded = (case.steps * batch / each for each in seconds)
    return row(f"{case.name}, {case.preset.stem}: image in bf16", exact, rounded, "images/s", "higher", None)


def optimiser(case: Case, execution: device.Execution) -> Row:
    """A step of the optimiser alone, with the gradients of one batch: fused, and tensor by tensor as torch does."""
    settings = case.settings()
    drawn, labels = pictures(2, case.side)
    run = new_run(build_recipe(settings, Images([drawn], labels), CLASSES, SEED, execution.device), execution)
    step(run, run.ready(), *to_device((drawn, labels), execution.device))
    plain = run.phase.optimiser.of(run.network)
    for group in plain.param_groups:
        group["fused"] = False

    def steps_of(each: torch.optim.Optimizer) -> Callable[[], None]:
        def some() -> None:
            for _ in range(STEPS):
                each.step()
            float(next(run.network.parameters()).detach().sum())  # waits until the device is done

        return some

    seconds = measure_in_turn(steps_of(run.optimiser), steps_of(plain), REPEATS)
    fused, one_by_one = (1000 * each / STEPS for each in seconds)
    return row(f"{case.name}, {case.preset.stem}: fused step", fused, one_by_one, "ms", "lower", 1.0)


def _in_one_part(made: tuple[np.ndarray, np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    return [made[0]], made[1]


def _our_first_batch(run: Run, images: Images) -> None:
    with ThreadPoolExecutor(batch_threads(run.execution)) as pool:
        tasks = run.phase.batching.tasks(images, SEED, run.recipe.purpose, 1)
        next(on_device(tasks, pool, run.execution.device))


def _usual_first_batch(folder: Path, case: Case) -> None:
    next(iter(loader(folder, case.settings(), case.side)))


def main() -> None:
    path = json_option(__doc__)
    execution = device.choose("auto", "auto")
    device.full_float32()
    if execution.device == "cpu":
        device.keep_freed_memory()
    # First deterministic mode: cuBLAS asks once for its workspace.
    rows = [deterministic(CASES[1], execution), optimiser(CASES[2], execution)]
    if execution.bf16:
        rows += [image_layer(case, execution) for case in CASES]
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows += compared(case, execution, Path(folder))
    memory = f", at most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if execution.device == "cuda" else ""
    report(rows, f"training, {execution}{memory}", path)


if __name__ == "__main__":
    main()
