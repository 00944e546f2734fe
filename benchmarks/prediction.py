"""Speed of prediction by networks, in images per second, compared with the network alone and with glibc's default.

By default, glibc returns freed memory to the system; `predict` makes it keep the memory. Images are 100×100 noise.
Networks have full width and random weights, and are loaded from files as `predict` loads them. Each figure is measured
in a new process, since the setting of memory cannot be changed back.
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


def save_untrained(name: str, folder: Path) -> None:
    """Write an untrained network as the train stage writes one."""
    design = networks.Design(len(CLASSES), SIDE, normalisation="imagenet")
    dataset = Dataset(CLASSES, CLASSES, SIDE, "squash", 10**8)
    description = {"name": name, "dataset": asdict(dataset), "design": asdict(design), "options": {}}
    torch.manual_seed(0)
    save_network(folder, networks.build(name, design, {}), description)


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH * BATCHES, SIDE, SIDE, 3), dtype=np.uint8)


def predict_seconds(folder: Path, keep_memory: bool) -> float:
    """Seconds that `predict` takes after a first, unmeasured call."""
    if not keep_memory:
        device.keep_freed_memory = lambda: None
    model, pixels = load_model(folder), images()
    return _second_time(lambda: model.probabilities(pixels))


def network_seconds(folder: Path) -> float:
    """Seconds of as many forward passes of one batch that is already on the device."""
    execution = device.choose("auto", "fp32")
    if execution.device == "cpu":
        device.keep_freed_memory()
    network = execution.place(load_network(folder)[0])
    batch = torch.from_numpy(images()[:BATCH]).to(execution.device).permute(0, 3, 1, 2).float().div_(255)

    @torch.inference_mode()
    def passes() -> None:
        for _ in range(BATCHES):
            network(batch).cpu()  # waits for the device

    return _second_time(passes)


def _second_time(call: Callable[[], object]) -> float:
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def medians(folder: Path) -> list[float]:
    """Median seconds of predict, the network alone, and predict with memory returned, measured alternately."""
    calls = [
        partial(predict_seconds, folder, True),
        partial(network_seconds, folder),
        partial(predict_seconds, folder, False),
    ]
    rounds = [[_in_a_process(call) for call in calls] for _ in range(REPEATS)]
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


def _in_a_process(call: Callable[[], float]) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call).result()


def compared(name: str) -> list[Row]:
    """The rows of one network."""
    with tempfile.TemporaryDirectory() as folder:
        save_untrained(name, Path(folder))
        ours, alone, returned = (BATCH * BATCHES / seconds for seconds in medians(Path(folder)))
    return [
        row(f"{name}: network alone", ours, alone, "images/s", "higher", 0.95),
        row(f"{name}: predict with memory returned", ours, returned, "images/s", "higher", 1.0),
    ]


def main() -> None:
    path = json_option(__doc__)
    rows = [each for name in NAMES for each in compared(name)]
    report(rows, f"Prediction, {device.choose('auto', 'fp32')}", path)


if __name__ == "__main__":
    main()
