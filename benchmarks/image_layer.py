"""What bfloat16 before the first layer costs in accuracy: one network, trained in three ways from the same weights.

- float32: as Fakeprint trains. The first layer computes in float32, all others in bfloat16.
- bfloat16: the first layer too. It gets the normalised image rounded to 8 bits.
- exact in bfloat16: the first layer computes in bfloat16, on (k − 128) / 64 of grey levels k, which it holds exactly.

Accuracy is that of the last epoch on the validation images, so that no epoch is chosen on them. Standard errors are
over the seeds, which change weights, order and augmentation, but not the splits.

`python -m benchmarks.image_layer NETWORK [--seeds 1 2 3] [--folder .] [--json FILE]`
The folder is one where the stage `prepare` has run, for example on a fold of train (`prepare.fold: 0`).
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from torch import nn

from benchmarks.table import console
from fakeprint import params
from fakeprint.models.networks.layers import InFloat32, Input
from fakeprint.params import NetworkSettings
from fakeprint.training import device
from fakeprint.training.inputs import TrainingData, load_training_data
from fakeprint.training.loop import train
from fakeprint.training.start import start


def as_trained(network: nn.Module) -> None:
    """Leave the first layer in float32."""


def rounded(network: nn.Module) -> None:
    """Let the first layer compute in bfloat16 under autocast, as all others."""
    for layer in network.modules():
        if isinstance(layer, InFloat32):
            layer.__class__ = next(kind for kind in type(layer).__mro__[1:] if kind is not InFloat32)


def exact(network: nn.Module) -> None:
    """The same, with values of the image that bfloat16 holds."""
    rounded(network)
    for layer in network.modules():
        if isinstance(layer, Input):
            layer.kind = "exact"
            for name, value in {"mean": 128 / 255, "std": 64 / 255}.items():
                layer.register_buffer(name, torch.full((1, 3, 1, 1), value), persistent=False)


VARIANTS: dict[str, Callable[[nn.Module], None]] = {
    "float32": as_trained,
    "bfloat16": rounded,
    "exact in bfloat16": exact,
}


def accuracy(settings: NetworkSettings, data: TrainingData, seed: int, change: Callable[[nn.Module], None]) -> float:
    """Validation accuracy of the last epoch, in [0, 1], after a training of the changed network."""
    execution = device.choose(settings.train.device, "bf16")
    with tempfile.TemporaryDirectory() as root:  # a checkpoint of one variant would be taken for that of the next
        run, checkpoint = start(settings, data, seed, execution, Path(root))
        for network in {run.network, run.validated}:  # the second is the moving average, if there is one
            change(network)
        train(run, data, checkpoint, lambda figures, epoch: None)
    return float(run.history.rows[-1]["validation_accuracy"])


def report(accuracies: dict[str, list[float]]) -> None:
    """Print accuracy in % by variant: mean, and the mean difference to float32 with its standard error."""
    table = Table("first layer", "per seed, %", "mean, %", "difference, points", "its standard error")
    base = np.array(accuracies["float32"])
    for name, values in accuracies.items():
        difference = 100 * (np.array(values) - base)
        error = difference.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        each = " ".join(f"{100 * value:.2f}" for value in values)
        table.add_row(name, each, f"{100 * np.mean(values):.2f}", f"{difference.mean():+.2f}", f"{error:.2f}")
    console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", metavar="NETWORK", help="one of run.networks, with its own layers")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N")
    parser.add_argument("--folder", type=Path, default=Path(), help="where params.yaml and data/ are (default: here)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the accuracies to FILE")
    options = parser.parse_args()
    output = options.json.absolute() if options.json else None
    with contextlib.chdir(options.folder):
        everything = params.load()
        settings = everything.network(options.network)
        data = load_training_data(settings.train.augmented, everything.prepare.train_crops)
        accuracies: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for seed in options.seeds:
            for name, change in VARIANTS.items():
                accuracies[name].append(accuracy(settings, data, seed, change))
                print(f"seed {seed}, {name}: {accuracies[name][-1]:.4f}", file=sys.stderr, flush=True)
    report(accuracies)
    if output:
        output.write_text(json.dumps(accuracies, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
