"""Checkpoints to resume from: one file per training run, not tracked by git or DVC, replaced after epochs.

Its name is a hash of all that decides what the run computes, so that no run resumes from the checkpoint of another.
"""

import contextlib
import functools
import hashlib
import json
import mmap
import pickle
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fakeprint
from fakeprint.files import written

FOLDER = Path(".fakeprint/checkpoints")
PACKAGE = Path(fakeprint.__file__).parent
SHARE = 0.05  # of the time that saving may take: epochs of a second may have checkpoints of gigabytes


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training run."""

    path: Path

    @property
    def fingerprint(self) -> str:
        """Identifies the training run."""
        return self.path.stem

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file in one move: if the process is killed meanwhile, the previous one stays."""
        with written(self.path) as partial:
            torch.save(state, partial)

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, tensors on the CPU; None if there is none. Executes no code."""
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            print(f"warning: {self.path} cannot be read; training starts from the first epoch", file=sys.stderr)
            return None
        return state

    def remove(self) -> None:
        """Remove the file, once training has finished and its outputs are written.

        Half-written files of killed processes are removed too if they are an hour old: no save takes that long.
        """
        self.path.unlink(missing_ok=True)
        for leftover in self.path.parent.glob(".*.partial.pt"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > 3600:
                    leftover.unlink()


class Saver:
    """Saves the state of a run after its epochs, but not after all of them where that would take long.

    After a save that took a second, the next one is at least 1 / `SHARE` seconds later.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._due = 0.0

    def save(self, state: Callable[[], dict[str, Any]], last: bool) -> None:
        """Replace the file if it is time to. last: of the training run, which is saved in any case."""
        began = time.monotonic()
        if last or began >= self._due:
            self.checkpoint.save(state())
            ended = time.monotonic()
            self._due = ended + (ended - began) / SHARE


def checkpoint(name: str, identity: dict[str, Any], arrays: Iterable[np.ndarray], root: Path) -> Checkpoint:
    """The checkpoint of network `name`, trained on these arrays by the code as it is now.

    arrays: images, labels, and the weights that it begins with if these are pretrained. identity: JSON values that
    decide what the run computes, see `Run.identity`. root: the main repository, which all of DVC's temporary copies
    share.
    """
    digest = hashlib.sha256(json.dumps([name, versions(), identity], sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode() + _content(array))
    for path in sources(name):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return Checkpoint(root / FOLDER / f"{name}-{digest.hexdigest()[:32]}.pt")


def _content(array: np.ndarray) -> bytes:
    """A digest of an array's numbers; of a whole mapped file it is computed once in a process."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):  # not a view of another map
        path = Path(str(array.filename))
        file = path.stat()
        return _of_map(path, array.offset, array.nbytes, (file.st_ino, file.st_mtime_ns, file.st_size))
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()


@functools.lru_cache(maxsize=16)
def _of_map(path: Path, offset: int, size: int, version: tuple[int, ...]) -> bytes:
    """A digest of some bytes of a file. version: what changes with its content."""
    return hashlib.sha256(np.memmap(path, np.uint8, "r", offset, (size,)).data).digest()


def versions() -> dict[str, str]:
    """Versions of the libraries that decide what training computes; torch's own string names its device too."""
    packages = ("numpy", "opencv-python-headless", "timm", "torchvision")
    return {"torch": torch.__version__, **{package: metadata.version(package) for package in packages}}


def sources(name: str) -> list[Path]:
    """The source files that decide what training network `name` computes."""
    folders = [PACKAGE / "training", PACKAGE / "augment"]
    networks = PACKAGE / "models" / "networks"
    files = ("__init__.py", "layers.py", "library.py", f"{name}.py")
    shared = [PACKAGE / "seeds.py", PACKAGE / "models" / "pretrained.py", *(networks / file for file in files)]
    return [*shared, *(path for folder in folders for path in sorted(folder.rglob("*.py")))]
