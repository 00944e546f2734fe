"""Training: images a second of the real loop against the same network on one batch that never leaves memory.

Each network of the demo on 64×64 images, with params.yaml's width, batch size, transforms, optimiser and precision. A
repeat of ours is an epoch (shuffling, augmentation, the way to the device), one of the peer as many steps; one network
and its optimiser serve both. `python -m benchmarks.training [--json FILE]`
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from benchmarks.table import Row, json_option, measure_in_turn, report, row
from fakeprint import params
from fakeprint.training import device
from fakeprint.training.images import Images, to_device
from fakeprint.training.loop import start, train_epoch

SIDE, CLASSES, STEPS, REPEATS = 64, list("abcde"), 24, 7


def compared(name: str, execution: device.Execution) -> Row:
    """Images a second of both, for one network."""
    everything = params.load()
    settings = everything.network(name)
    batch_size = settings.train.batch_size
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (STEPS * batch_size, SIDE, SIDE, 3), dtype=np.uint8)
    images = Images([pictures], rng.integers(0, len(CLASSES), len(pictures)))
    run = start(settings, images, CLASSES, everything.seed, execution)
    inputs, labels = to_device((pictures[:batch_size], images.labels[:batch_size]), execution.device)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=settings.train.label_smoothing)

    def ours() -> None:
        with ThreadPoolExecutor(1) as pool:
            train_epoch(run, images, everything.seed, 1, pool, lambda count: None)

    def peer() -> None:
        run.network.train()
        for _ in range(STEPS):
            with execution.autocast():
                logits = run.network(inputs)
            loss = criterion(logits.float(), labels)
            run.optimiser.zero_grad()
            loss.backward()
            run.optimiser.step()
        loss.item()  # waits until the device is done

    ours_seconds, peer_seconds = measure_in_turn(ours, peer, REPEATS)
    rates = len(pictures) / ours_seconds, len(pictures) / peer_seconds
    return row(f"train {name}, {execution}", *rates, "images/s", "higher", 0.95)


def main() -> None:
    path = json_option(__doc__)
    execution = device.choose("auto", "auto")
    if execution.device == "cpu":
        device.keep_freed_memory()
    rows = [compared(name, execution) for name in ("hist_cnn", "three_cnn")]
    report(rows, f"training, {SIDE}×{SIDE}, width {params.load().model.width}", path)


if __name__ == "__main__":
    main()
