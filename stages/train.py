"""train NAME: train one network and write its best epoch's weights and its history.

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
from fakeprint.files import written, written_folder
from fakeprint.models.network_files import save_network
from fakeprint.params import NetworkSettings
from fakeprint.training import device
from fakeprint.training.checkpoints import checkpoint
from fakeprint.training.images import Images
from fakeprint.training.loop import Run, start, train
from fakeprint.training.optimisation import best_epoch

AUGMENTED = Path("data/augmented")


@one_line_errors
def main(name: str) -> None:
    everything = params.load()
    settings = everything.network(name)
    for key in settings.pinned:
        print(f"{name} pins {key} = {_value(settings, key)}; `{key}` does not reach it")
    execution = device.choose(settings.train.device, settings.train.precision)
    if execution.device == "cpu":
        device.keep_freed_memory()

    dataset = load_dataset()
    images, files = training_images(settings.train.augmented)
    validation = load_split("validation")
    held_out = Images([validation.images], validation.labels)
    run = start(settings, images, len(dataset.classes), everything.seed, execution)
    decides = {
        "settings": settings.model_dump(exclude={"pinned"}),
        "seed": everything.seed,
        "classes": len(dataset.classes),
        "execution": asdict(execution),
    }
    arrays = [*images.parts, images.labels, *held_out.parts, held_out.labels]
    kept = checkpoint(name, decides, arrays, tracking.main_root())
    print(f"{name}: {len(images):,} training images, {len(held_out):,} for validation, on {execution}", flush=True)

    described = tracking.settings_of(everything, name, "network")
    try:
        with tracking.model_run(everything, name, "network", described, files, kept.fingerprint) as tracked:
            train(run, settings, images, held_out, everything.seed, execution, kept, tracked.log_epoch)
            write(run, settings, dataset)
            tracked.finish(Path("models") / name)
    except KeyboardInterrupt:
        done = f"{len(run.history)} of {settings.train.epochs} epochs"
        print(f"{name}: interrupted; {done} are kept, the next run goes on from there", file=sys.stderr)
        sys.exit(130)
    kept.remove()


def training_images(augmented: bool) -> tuple[Images, list[Path]]:
    """The train split, with its offline copies where `augmented`, and the files that they are in."""
    train_split = load_split("train")
    parts, labels, files = [train_split.images], [train_split.labels], [ARRAYS / "train.npy", ARRAYS / "validation.npy"]
    if augmented:
        parts.append(np.load(AUGMENTED / "copies.npy", mmap_mode="r"))
        labels.append(pd.read_parquet(AUGMENTED / "copies.parquet")["class"].to_numpy(dtype=np.int64))
        files.append(AUGMENTED / "copies.npy")
    return Images(parts, np.concatenate(labels)), files


def write(run: Run, settings: NetworkSettings, dataset: Dataset) -> None:
    """Write metrics/NAME/history.csv and the folder models/NAME."""
    with written(Path("metrics") / settings.name / "history.csv") as partial:
        pd.DataFrame(run.history).astype({"epoch": int}).to_csv(partial, index=False)
    description = {
        "name": settings.name,
        "dataset": asdict(dataset),
        "design": asdict(run.design),
        "options": settings.options,
        "best_epoch": best_epoch(run.accuracies),
    }
    with written_folder(Path("models") / settings.name) as folder:
        save_network(folder, run.network, description)


def _value(settings: NetworkSettings, key: str) -> object:
    """The value of a pinned `model.KEY` or `train.KEY`."""
    block, name = key.split(".")
    return getattr(settings.train if block == "train" else settings.model, name)


if __name__ == "__main__":
    main(sys.argv[1])
