"""Networks' answers, images a second: against the network alone, and against glibc's own habit of returning memory.

100×100 images of noise, networks at full width with random weights, loaded from files as `predict` loads them. Each
figure is from a process of its own, since how memory is kept can not be changed back.
`python -m benchmarks.prediction [--json FILE]`
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.table import Row, json_option, report, row
from fakeprint.data.arrays import Dataset
from fakeprint.models import networks
from fakeprint.models.network_files import load_network, save_network
from fakeprint.predict import BATCH, load_model
from fakeprint.training import device

NAMES, SIDE, BATCHES, REPEATS = ("three_cnn", "hist_cnn", "trace_net"), 100, 3, 5
CLASSES = list("abcde")


def saved(name: str, folder: Path) -> None:
    """An untrained network as the train stage writes it."""
    design = networks.Design(len(CLASSES), SIDE, normalisation="imagenet")
    dataset = Dataset(CLASSES, CLASSES, SIDE, "squash", 10**8)
    description = {"name": name, "dataset": asdict(dataset), "design": asdict(design), "options": {}}
    torch.manual_seed(0)
    save_network(folder, networks.build(name, design, {}), description)


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH * BATCHES, SIDE, SIDE, 3), dtype=np.uint8)


def answering(folder: Path, keep: bool) -> float:
    """Seconds that `predict` takes, once it is warm."""
    if not keep:
        device.keep_freed_memory = lambda: None
    model, images = load_model(folder), pictures()
    return _second_time(lambda: model.probabilities(images))


def network_alone(folder: Path) -> float:
    """Seconds of as many forward passes of one batch that lies on the device."""
    execution = device.choose("auto", "fp32")
    if execution.device == "cpu":
        device.keep_freed_memory()
    network = execution.place(load_network(folder)[0])
    batch = torch.from_numpy(pictures()[:BATCH]).to(execution.device).permute(0, 3, 1, 2).float().div_(255)

    @torch.inference_mode()
    def passes() -> None:
        for _ in range(BATCHES):
            network(batch).cpu()  # waits until the device is done

    return _second_time(passes)


def _second_time(call: Callable[[], object]) -> float:
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def medians(folder: Path) -> list[float]:
    """Median seconds of predict, the network alone, and predict with memory returned, measured in turn."""
    ways = [partial(answering, folder, True), partial(network_alone, folder), partial(answering, folder, False)]
    rounds = [[_in_a_process(way) for way in ways] for _ in range(REPEATS)]
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


def _in_a_process(way: Callable[[], float]) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(way).result()


def compared(name: str) -> list[Row]:
    """The rows of one network."""
    with tempfile.TemporaryDirectory() as folder:
        saved(name, Path(folder))
        ours, alone, returned = (BATCH * BATCHES / seconds for seconds in medians(Path(folder)))
    return [
        row(f"{name}: network alone", ours, alone, "images/s", "higher", 0.95),
        row(f"{name}: memory returned", ours, returned, "images/s", "higher", 1.0),
    ]


def main() -> None:
    path = json_option(__doc__)
    rows = [each for name in NAMES for each in compared(name)]
    report(rows, f"prediction, {device.choose('auto', 'fp32')}", path)


if __name__ == "__main__":
    main()
