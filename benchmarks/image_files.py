"""Speed of `fakeprint predict FOLDER --csv FILE`, in images per second, compared with the network alone.

PNG files of 100×100 pixels, waves with grain; TraceNet at full width with random weights, without test-time
augmentation. The network alone computes the same number of images in batches that are in memory. The first row counts
from the model's folder to the CSV file, the second the whole process, with Python's start and imports. Each figure is
measured in a new process, in turn.
`python -m benchmarks.image_files [--images 6500] [--repeats 3] [--json FILE]`
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from benchmarks.prediction import SIDE, save_untrained
from benchmarks.table import report, row
from fakeprint.commands import predict
from fakeprint.models.network_files import load_network
from fakeprint.predict import BATCH
from fakeprint.training import device

NETWORK = "trace_net"


def draw(folder: Path, count: int) -> None:
    """Write `count` PNG files."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for number in range(count):
        wave = 127 + 40 * np.sin(x / rng.uniform(3, 9)) + 40 * np.cos(y / rng.uniform(3, 9))
        pixels = wave[:, :, None] + rng.normal(0, 8, (SIDE, SIDE, 3))
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(folder / f"{number:05d}.png")


def from_files(folder: Path) -> float:
    """Seconds of the command, once the process has imported what it needs."""
    load_network(folder / "models" / NETWORK)  # imports
    parser = argparse.ArgumentParser()
    predict.add_parser(parser.add_subparsers())
    args = parser.parse_args(["predict", *_options(folder)])
    start = time.perf_counter()
    predict.run(args)
    return time.perf_counter() - start


def whole_process(folder: Path) -> float:
    """Seconds of the command as a process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "fakeprint", "predict", *_options(folder)], check=True)
    return time.perf_counter() - start


def _options(folder: Path) -> list[str]:
    models = ["--model", NETWORK, "--models-folder", str(folder / "models")]
    return [str(folder / "images"), *models, "--csv", str(folder / "predictions.csv")]


def network_alone(count: int, folder: Path) -> float:
    """Seconds of `count` images through the network, after one batch to warm up."""
    execution = device.choose("auto", "fp32")
    if execution.device == "cpu":
        device.keep_freed_memory()
    network = execution.place(load_network(folder / "models" / NETWORK)[0])
    batch = torch.rand(BATCH, 3, SIDE, SIDE).to(execution.device, memory_format=torch.channels_last)
    with torch.inference_mode():
        network(batch).cpu()
        start = time.perf_counter()
        for first in range(0, count, BATCH):
            network(batch[: count - first]).cpu()  # waits until the device is done
        return time.perf_counter() - start


def _in_a_process(measure: Callable[[Path], float], folder: Path) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, folder).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6500, metavar="N", help="files to predict (default: 6500)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="measurements of each (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inner in ("images", f"models/{NETWORK}"):
            (folder / inner).mkdir(parents=True)
        save_untrained(NETWORK, folder / "models" / NETWORK)
        draw(folder / "images", args.images)
        measures: list[Callable[[Path], float]] = [from_files, whole_process, partial(network_alone, args.images)]
        rounds = [[_in_a_process(each, folder) for each in measures] for _ in range(args.repeats)]
    files, process, alone = (args.images / median(seconds) for seconds in zip(*rounds, strict=True))
    rows = [
        row(f"{NETWORK}: files to CSV", files, alone, "images/s", "higher", 0.9),
        row(f"{NETWORK}: whole process", process, alone, "images/s", "higher", None),
    ]
    report(rows, f"{args.images} image files, {device.choose('auto', 'fp32')}", args.json)


if __name__ == "__main__":
    main()
