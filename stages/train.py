"""train NAME: train one network and write the kept epoch's weights and its history.

Interrupted or killed, the next run goes on from the last epoch that ended.
"""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint import params, tracking
from fakeprint.data.arrays import ARRAYS, Dataset, load_dataset, load_split
from fakeprint.errors import one_line_errors
from fakeprint.files import main_root, written, written_folder
from fakeprint.models.network_files import save_network
from fakeprint.params import NetworkSettings, Params
from fakeprint.training import device, distributed
from fakeprint.training.checkpoints import checkpoint
from fakeprint.training.device import Execution
from fakeprint.training.images import Images
from fakeprint.training.loop import Run, start, train

AUGMENTED = Path("data/augmented")


@one_line_errors
def main(name: str) -> None:
    everything = params.load()
    settings = everything.network(name)
    execution = device.choose(settings.train.device, settings.train.precision)
    if settings.train.devices > 1 and not distributed.launched():
        distributed.check(settings.train, execution.device)
        sys.exit(distributed.launch("stages.train", name, settings.train.devices))
    with distributed.joined(execution.device):
        train_network(everything, settings, execution)


def train_network(everything: Params, settings: NetworkSettings, execution: Execution) -> None:
    name, first = settings.name, distributed.rank() == 0
    say = print if first else _nothing
    for key in settings.pinned:
        say(f"{name} pins {key} = {_value(settings, key)}; `{key}` does not reach it")
    device.reproducible(execution, settings.train.deterministic)
    if execution.device == "cpu":
        device.keep_freed_memory()

    dataset = load_dataset()
    images, files = training_images(settings.train.augmented)
    validation = load_split("validation")
    held_out = Images([validation.images], validation.labels)
    run = start(settings, images, dataset.classes, everything.seed, execution)
    decides = {
        "settings": settings.model_dump(exclude={"pinned"}),
        "seed": everything.seed,
        "classes": dataset.classes,
        "execution": asdict(execution),
        "processes": distributed.world(),
    }
    arrays = [*images.parts, images.labels, *held_out.parts, held_out.labels]
    kept = checkpoint(name, decides, arrays, main_root())
    several = f", {distributed.world()} processes" if distributed.world() > 1 else ""
    say(
        f"{name}: {len(images):,} training images, {len(held_out):,} for validation, on {execution}{several}",
        flush=True,
    )
    if not first:
        train(run, images, held_out, everything.seed, kept, _nothing)
        return

    described = params.settings_of(everything, name, "network")
    try:
        with tracking.model_run(everything, name, "network", described, files, kept.fingerprint) as tracked:
            train(run, images, held_out, everything.seed, kept, tracked.log_epoch)
            write(run, dataset)
            tracked.finish(Path("models") / name)
    except KeyboardInterrupt:
        done = f"{len(run.history)} of {run.epochs} epochs"
        print(f"{name}: interrupted; {done} are kept, the next run goes on from there", file=sys.stderr)
        sys.exit(130)
    kept.remove()


def _nothing(*arguments: object, **options: object) -> None:
    """What a process that is not the first says and logs."""


def training_images(augmented: bool) -> tuple[Images, list[Path]]:
    """The train split, with its offline copies where `augmented`, and the files that they are in."""
    train_split = load_split("train")
    parts, labels, files = [train_split.images], [train_split.labels], [ARRAYS / "train.npy", ARRAYS / "validation.npy"]
    if augmented:
        parts.append(np.load(AUGMENTED / "copies.npy", mmap_mode="r"))
        labels.append(pd.read_parquet(AUGMENTED / "copies.parquet")["class"].to_numpy(dtype=np.int64))
        files.append(AUGMENTED / "copies.npy")
    return Images(parts, np.concatenate(labels)), files


def write(run: Run, dataset: Dataset) -> None:
    """Write metrics/NAME/history.csv and the folder models/NAME."""
    settings = run.settings
    with written(Path("metrics") / settings.name / "history.csv") as partial:
        pd.DataFrame(run.history).astype({"epoch": int}).to_csv(partial, index=False)
    description = {
        "name": settings.name,
        "dataset": asdict(dataset),
        "design": asdict(run.design),
        "options": settings.options,
        "best_epoch": run.kept_epoch,
    }
    with written_folder(Path("models") / settings.name) as folder:
        save_network(folder, run.network, description)


def _value(settings: NetworkSettings, key: str) -> object:
    """The value of a pinned `model.KEY` or `train.KEY`."""
    block, name = key.split(".")
    return getattr(settings.train if block == "train" else settings.model, name)


if __name__ == "__main__":
    main(sys.argv[1])
