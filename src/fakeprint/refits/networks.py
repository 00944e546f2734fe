"""A network trained anew by its recipe, and the logits and penultimate features of one forward pass."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from fakeprint import seeds
from fakeprint.blocks import Rows, write_rows
from fakeprint.data.arrays import COPIES, COPIES_INDEX, load_dataset, load_split
from fakeprint.errors import InputError
from fakeprint.files import main_root
from fakeprint.models.networks.penultimate import last_dense, noted_features
from fakeprint.params import NetworkSettings, Params
from fakeprint.progress import track
from fakeprint.refits.refit import Refit, Task
from fakeprint.training import device
from fakeprint.training.device import Execution
from fakeprint.training.images import ChosenRows, Images
from fakeprint.training.inputs import TrainingData
from fakeprint.training.loop import train
from fakeprint.training.reporting import announce, interruption_in_one_line
from fakeprint.training.start import start
from fakeprint.verdict.unknown import Outputs

BATCH = 128  # images per forward pass


def refit_network(settings: Params, name: str, task: Task, features: bool) -> Refit:
    """See `refit`. Trained on one device; a training that is killed continues from its last checkpoint."""
    network = _without_other_classes(settings.network(name), task.classes)
    execution = device.choose(network.train.device, network.train.precision)
    data = TrainingData(_chosen("train", task, network.train.augmented), _chosen("validation", task), _dataset(task))
    run, checkpoint = start(
        network, data, seeds.integer(settings.training_seed(name), task.purpose), execution, main_root()
    )
    announce(run, data)
    with interruption_in_one_line(run):
        train(run, data, checkpoint, lambda figures, epoch: None)
    forward = Execution(execution.device, bf16=False)  # as predictions are made
    module = forward.place(run.network).eval()
    validation = load_split("validation")
    every = Images([validation.of_one_size], validation.labels)
    outputs = outputs_of(module, forward.device, every, name)
    if not features:
        return Refit(Outputs(outputs.logits), None, None, checkpoint.remove)
    own = _chosen("train", task)
    return Refit(outputs, outputs_of(module, forward.device, own, name), own.labels, checkpoint.remove)


def outputs_of(module: nn.Module, where: str, images: Images, name: str) -> Outputs:
    """Logits, float64 (N, C), and penultimate features, on disk until the process ends, of one pass over the images.

    module: in evaluation mode on the device `where`.
    """
    logits: list[np.ndarray] = []
    total = -(-len(images) // BATCH)

    def features() -> Iterator[np.ndarray]:
        batches = track(_batches(images), f"features of {name}", total=total, unit="batch")
        with torch.inference_mode(), noted_features(module) as noted:
            for batch in batches:
                pixels = torch.from_numpy(batch).to(where).permute(0, 3, 1, 2).float().div_(255)
                logits.append(module(pixels).cpu().double().numpy())
                yield noted.pop().float().cpu().numpy()

    folder = tempfile.TemporaryDirectory(prefix="fakeprint-")
    file = Path(folder.name) / "features.npy"
    write_rows(file, (len(images), last_dense(module).in_features), features())
    return Outputs(np.concatenate(logits), Temporary.inside(folder, file))


@dataclass(frozen=True, eq=False)
class Temporary(Rows):
    """Rows in a temporary folder, which goes when they do."""

    folder: Any = None

    @classmethod
    def inside(cls, folder: Any, file: Path) -> "Temporary":
        """Rows of a file in this folder."""
        return cls(((file,),), folder=folder)


def _batches(images: Images) -> Iterator[np.ndarray]:
    """All images in order, uint8 (n, H, W, 3) each."""
    for first in range(0, len(images), BATCH):
        yield images.take(np.arange(first, min(first + BATCH, len(images))))


def _chosen(split: str, task: Task, copies: bool = False) -> Images:
    """The images of a split that are part of the task, with their stored copies if requested; none is copied."""
    labels = task.train if split == "train" else task.validation
    parts, of_parts = [load_split(split).of_one_size], [labels]
    if copies:
        parts.append(np.load(COPIES, mmap_mode="r"))
        of_parts.append(labels[pd.read_parquet(COPIES_INDEX)["parent_row"].to_numpy()])
    chosen = [ChosenRows(part, np.flatnonzero(each >= 0)) for part, each in zip(parts, of_parts, strict=True)]
    kept = np.concatenate([each[each >= 0] for each in of_parts])
    if len(np.unique(kept)) < len(task.classes):
        raise InputError(f"the {split} split has no image of some of the classes {', '.join(task.classes)}")
    return Images(chosen, kept)


def _dataset(task: Task) -> Any:
    return replace(load_dataset(), classes=task.classes, names=task.classes)


def _without_other_classes(network: NetworkSettings, classes: list[str]) -> NetworkSettings:
    """The settings without weights of classes that are not part of the task."""

    def kept(weights: Any) -> Any:
        return {k: v for k, v in weights.items() if str(k) in classes} if isinstance(weights, dict) else weights

    phases = [
        {**each, **{k: kept(v) for k, v in each.items() if k == "class_weights"}} for each in network.train.phases
    ]
    weights = kept(network.train.class_weights)
    return network.model_copy(
        update={"train": network.train.model_copy(update={"class_weights": weights or "none", "phases": phases})}
    )
