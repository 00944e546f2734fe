"""The tiniest fit, and processes that fit."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fakeprint.service.settings import Settings
from tests.service.images import class_folders, zip_of

ROOT = Path(__file__).parents[2]
TINY = {
    "run.features": ["hsv_hist"],
    "run.classifiers": [],
    "run.networks": ["three_cnn"],
    "run.ensembles": [],
    "prepare.image_size": 16,
    "augment.copies": 0,
    "model.width": 0.125,
    "train.epochs": 2,
    "validate.sample_images": 1,
}
EACH = 30  # images of each class: with fewer, a class would have none in validation


def archive() -> bytes:
    """The data set of the tests of fits."""
    return zip_of(class_folders(EACH))


@dataclass(frozen=True)
class Fitted:
    """A folder of the service in which one fit has succeeded: its job and data set, as the API showed them."""

    folder: Path
    job: dict[str, Any]
    dataset: str
    events: str

    @property
    def settings(self) -> Settings:
        return Settings(folder=self.folder, workers=0, lease_seconds=5)


def start(settings: Settings, *words: str) -> "subprocess.Popen[bytes]":
    """A process of the service as a person starts it, with these settings."""
    names = ("folder", "lease_seconds", "job_hours")
    own = {f"FAKEPRINT_{name.upper()}": str(getattr(settings, name)) for name in names}
    environment = {**os.environ, **own, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, *words], cwd=settings.folder, env=environment, start_new_session=True)


def until(true: Callable[[], Any], process: "subprocess.Popen[bytes] | None" = None) -> Any:
    """Wait until something is true, and return it; not for ever, and not for a process that has ended."""
    for _ in range(2400):
        if found := true():
            return found
        assert process is None or process.poll() is None, "the process ended too early"
        time.sleep(0.05)
    raise AssertionError("it did not come true within two minutes")


def processes_in(folder: Path) -> list[str]:
    """The commands of processes that run in a folder or below."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder.resolve()):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
