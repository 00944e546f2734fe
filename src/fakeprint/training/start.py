"""From settings and images to a run and its checkpoint: what the train stage and searches begin with."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fakeprint.params import NetworkSettings
from fakeprint.training import device
from fakeprint.training.checkpoints import Checkpoint, checkpoint
from fakeprint.training.device import Execution
from fakeprint.training.inputs import TrainingData
from fakeprint.training.recipe import build_recipe
from fakeprint.training.run import Run, new_run


def start(
    settings: NetworkSettings,
    data: TrainingData,
    seed: int,
    execution: Execution,
    root: Path,
) -> tuple[Run, Checkpoint]:
    """A run before its first epoch, and the checkpoint that it may resume from.

    root: the main repository, where checkpoints are. Sets how this process computes: deterministic or not, and how it
    keeps memory. Raises InputError as `build_recipe` and `new_run` do.
    """
    recipe = build_recipe(settings, data.images, data.dataset.classes, seed, execution.device)
    device.reproducible(execution, recipe.deterministic)
    if execution.device == "cpu":
        device.keep_freed_memory()
    run = new_run(recipe, execution, data.images)
    arrays = [*data.images.arrays, *data.validation.arrays]
    if recipe.options.get("weights"):
        arrays.extend(_weights(run))
    return run, checkpoint(recipe.name, run.identity, arrays, root)


def _weights(run: Run) -> Iterator[np.ndarray]:
    """What the run begins with. Settings only name a file or a library, whose content may become another."""
    for tensor in run.network.state_dict().values():
        yield tensor.cpu().numpy()
