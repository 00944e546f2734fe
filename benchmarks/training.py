"""Training: the real loop against (a) the network alone and (b) the usual loop around it.

(a) the same network on one batch that never leaves memory: what is lost to the data. (b) torchvision's ImageFolder of
PNG files, its v2 transforms with the same probabilities and ranges, and a DataLoader with a worker a core. Same
network, batch size, optimiser and precision: networks as presets/unibuc.yaml and unibuc-best.yaml train them, on
100×100 images, and the demo's, a quarter as wide, on 64×64. A repeat of ours is an epoch (shuffling, augmentation, the
way to the device), one of the peer as many steps. The first row is deterministic mode against the usual one; where
steps run in bfloat16, one row a network is its image layer in float32, as it is, against one in bfloat16 too.
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
from ruamel.yaml import YAML
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.augmentation import in_torchvision
from benchmarks.table import Row, json_option, measure_in_turn, medians_in_turn, report, row
from fakeprint import params
from fakeprint.models.networks.layers import InFloat32
from fakeprint.params import NetworkSettings
from fakeprint.presets import overlaid
from fakeprint.training import device
from fakeprint.training.batches import prefetch, to_device
from fakeprint.training.images import Images, placed
from fakeprint.training.recipe import build_recipe
from fakeprint.training.run import Run, new_run
from fakeprint.training.steps import train_epoch

CLASSES, REPEATS, SEED = list("abcde"), 5, 7
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
        return params.parse(YAML(typ="safe").load(overlaid(self.preset, None, []))).network(self.name)


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


def step(run: Run, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One step of the plain loop; the loss, still on the device."""
    with run.execution.autocast():
        logits = run.network(inputs)
    loss = torch.nn.functional.cross_entropy(logits.float(), labels, label_smoothing=run.phase.criterion.smoothing)
    run.optimiser.zero_grad()
    loss.backward()
    run.optimiser.step()
    return loss.detach()


def compared(case: Case, execution: device.Execution, folder: Path) -> list[Row]:
    """The rows of one network."""
    settings = case.settings()
    plain = settings.train.model_copy(update={"cutmix": 0.0, "mixup": 0.0, "ema": 0.0})  # the peers have neither
    settings = settings.model_copy(update={"train": plain})
    drawn, labels = pictures(case.steps * plain.batch_size, case.side)
    images = Images([drawn], labels)
    as_files(drawn, labels, folder)
    run = new_run(build_recipe(settings, images, CLASSES, SEED, execution.device), execution)
    images, _ = placed(images, images, plain.augment_on, [plain.transforms], execution.device)
    one = to_device((drawn[: plain.batch_size], labels[: plain.batch_size]), execution.device)
    files = loader(folder, settings, case.side)

    def ours() -> None:
        with ThreadPoolExecutor(1) as pool:
            train_epoch(run, images, 1, pool, lambda count: None)

    def network_alone() -> None:
        run.network.train()
        float(sum(step(run, *one) for _ in range(case.steps)))  # waits until the device is done

    def usual_loop() -> None:
        run.network.train()
        place = execution.device
        float(sum(step(run, inputs.to(place), labels.to(place)) for inputs, labels in files))

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
            with ThreadPoolExecutor(1) as pool:
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
            run.network.train()
            float(sum(step(run, *one) for _ in range(case.steps)))  # waits until the device is done

        return some

    seconds = measure_in_turn(steps(runs[0]), steps(runs[1]), REPEATS)
    exact, rounded = (case.steps * batch / each for each in seconds)
    return row(f"{case.name}, {case.preset.stem}: image in bf16", exact, rounded, "images/s", "higher", None)


def _in_one_part(made: tuple[np.ndarray, np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    return [made[0]], made[1]


def _our_first_batch(run: Run, images: Images) -> None:
    with ThreadPoolExecutor(1) as pool:
        tasks = run.phase.batching.tasks(images, SEED, run.recipe.purpose, 1)
        to_device(next(prefetch(tasks, pool)), run.execution.device)


def _usual_first_batch(folder: Path, case: Case) -> None:
    next(iter(loader(folder, case.settings(), case.side)))


def main() -> None:
    path = json_option(__doc__)
    execution = device.choose("auto", "auto")
    if execution.device == "cpu":
        device.keep_freed_memory()
    rows = [deterministic(CASES[1], execution)]  # first: cuBLAS asks once for its workspace
    if execution.bf16:
        rows += [image_layer(case, execution) for case in CASES]
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows += compared(case, execution, Path(folder))
    memory = f", at most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if execution.device == "cuda" else ""
    report(rows, f"training, {execution}{memory}", path)


if __name__ == "__main__":
    main()
