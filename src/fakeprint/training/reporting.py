"""What training prints: what is trained on what, a line per epoch, and on a terminal a bar over all epochs' images."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from fakeprint.training import distributed
from fakeprint.training.images import DeviceImages, Images
from fakeprint.training.inputs import TrainingData
from fakeprint.training.run import Run
from fakeprint.training.selection import best_epoch


def announce(run: Run, data: TrainingData) -> None:
    """Print what is trained on what, and which shared parameters this network sets itself."""
    name = run.recipe.name
    for key, value in run.recipe.pinned.items():
        distributed.say(f"{name} pins {key} = {value}; the shared `{key}` does not change it")
    processes = f", {distributed.world()} processes" if distributed.world() > 1 else ""
    distributed.say(
        f"{name}: {len(data.images):,} training images, {len(data.validation):,} for validation, on "
        f"{run.execution}{processes}"
    )


@contextmanager
def interruption_in_one_line(run: Run) -> Iterator[None]:
    """On Ctrl-C, say how far the run is, in the first process only, and exit with code 130."""
    try:
        yield
    except KeyboardInterrupt:
        done = f"after {len(run.history.rows)} of {run.history.epochs} epochs"
        if distributed.rank() == 0:
            print(
                f"{run.recipe.name}: interrupted {done}; the same command continues from the last checkpoint",
                file=sys.stderr,
            )
        sys.exit(130)


class Reporter:
    """Prints the progress of a run, in the first process only.

    A bar, on a terminal only, covers the whole run, so that the time left is the run's.
    """

    def __init__(self, run: Run, images: int) -> None:
        self._run = run
        phases = [phase for phase in run.recipe.phases for _ in range(phase.epochs)]
        per_step = [phase.batching.batch_size * phase.batching.accumulate for phase in phases]
        seen = [phase.batching.steps(images) * size for phase, size in zip(phases, per_step, strict=True)]
        self._done = len(run.history.rows)
        self._seen, self._rate = 0, 0.0
        self._bar: tqdm[Any] = tqdm(
            desc=run.recipe.name,
            total=sum(seen),
            initial=sum(seen[: self._done]),
            unit="image",
            mininterval=0.5,
            maxinterval=0.5,
            disable=distributed.rank() > 0 or not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if distributed.rank() == 0:
            self._bar.write(text)
            sys.stdout.flush()

    def start(self, images: Images) -> None:
        """Say where images are augmented, and from which epoch training continues."""
        name = self._run.recipe.name
        if isinstance(images, DeviceImages):
            device = self._run.execution.device
            self.line(f"{name}: images are stored and augmented on {device}")
        if self._done:
            self.line(f"{name}: continuing after epoch {self._done} of {self._run.history.epochs}")

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the images per second of what runs inside, for the epoch's line."""
        started, before = time.perf_counter(), self._seen
        yield
        self._rate = (self._seen - before) / (time.perf_counter() - started)

    def seen(self, images: int) -> None:
        """Count images, and move the bar."""
        self._seen += images
        self._bar.update(images)

    def epoch(self, row: dict[str, float]) -> None:
        """Print the line of an epoch that has ended, the last of the history."""
        history = self._run.history
        parts = [f"train loss {row['train_loss']:.4f} accuracy {row['train_accuracy']:.4f}"]
        if "validation_loss" in row:
            parts.append(f"validation loss {row['validation_loss']:.4f} accuracy {row['validation_accuracy']:.4f}")
        parts += [f"lr {row['lr']:.3g}", f"{self._rate:,.0f} images/s"]
        best = best_epoch(history.accuracies)
        if not math.isnan(accuracy := history.accuracies[best - 1]):
            parts.append(f"best {accuracy:.4f} in epoch {history.earlier + best}")
            self._bar.set_postfix_str(parts[-1])
        self.line(f"{self._run.recipe.name} epoch {row['epoch']}/{history.epochs}: {' · '.join(parts)}")

    def mean(self, loss: float, accuracy: float) -> None:
        """Print the validation figures of the averaged weights."""
        self.line(
            f"{self._run.recipe.name}: average of the weights of {self._run.epoch_mean.count} epochs: "
            f"validation loss {loss:.4f} accuracy {accuracy:.4f}"
        )

    def clean_norm(self, loss: float, accuracy: float) -> None:
        """Print the validation figures of the kept weights with batch norm statistics of clean images."""
        self.line(
            f"{self._run.recipe.name}: batch norm statistics of clean images: validation loss {loss:.4f} accuracy "
            f"{accuracy:.4f}"
        )

    def phase(self) -> None:
        """Say that the next phase begins."""
        history = self._run.history
        self.line(
            f"{self._run.recipe.name}: phase {history.number + 1} of {len(history.phases)}, starting from the weights "
            "kept so far"
        )
