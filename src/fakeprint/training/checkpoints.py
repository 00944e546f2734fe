"""Checkpoints to go on from after an interruption: one file a training run, untracked, replaced after every epoch.

Its name is a hash of all that decides what the run computes, so that no run ever goes on from another's.
"""

import contextlib
import hashlib
import json
import pickle
import sys
import time
from collections.abc import Iterable
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


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training run."""

    path: Path

    @property
    def fingerprint(self) -> str:
        """What the training run is known by."""
        return self.path.stem

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file in one move: a process killed meanwhile leaves the previous epoch's."""
        with written(self.path) as partial:
            torch.save(state, partial)

    def load(self) -> dict[str, Any] | None:
        """The state of the last epoch that ended, tensors on the CPU; None where there is none. Executes no code."""
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            print(f"warning: {self.path} can not be read; training starts from the first epoch", file=sys.stderr)
            return None
        return state

    def remove(self) -> None:
        """Training has finished and its outputs are written.

        Goes with what processes killed in the middle of a save have left: no save takes an hour.
        """
        self.path.unlink(missing_ok=True)
        for leftover in self.path.parent.glob(".*.partial.pt"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > 3600:
                    leftover.unlink()


def checkpoint(name: str, settings: dict[str, Any], arrays: Iterable[np.ndarray], root: Path) -> Checkpoint:
    """The checkpoint of network `name`, trained with these settings (JSON values) on these arrays, by this very code.

    root: the main repository, which all of DVC's temporary copies share.
    """
    digest = hashlib.sha256(json.dumps([name, versions(), settings], sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    for path in sources(name):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return Checkpoint(root / FOLDER / f"{name}-{digest.hexdigest()[:32]}.pt")


def versions() -> dict[str, str]:
    """Of the libraries that decide what training computes; torch by its own word, which says for which device too."""
    named = ("numpy", "opencv-python-headless", "timm", "torchvision")
    return {"torch": torch.__version__, **{package: metadata.version(package) for package in named}}


def sources(name: str) -> list[Path]:
    """The source files that decide what training network `name` computes."""
    folders = [PACKAGE / "training", PACKAGE / "augment"]
    networks = PACKAGE / "models" / "networks"
    files = ("__init__.py", "layers.py", "library.py", f"{name}.py")
    shared = [PACKAGE / "seeds.py", PACKAGE / "models" / "pretrained.py", *(networks / file for file in files)]
    return [*shared, *(path for folder in folders for path in sorted(folder.glob("*.py")))]
