"""What studies keep in `.fakeprint/studies` of the repository, beside the experiments, which are DVC's.

NAME.json: a study's last options and every cell that it has asked for. cells/KEY.json: how long a cell took, or why it
failed. logs/KEY.log: what it printed. taken/KEY: results that were taken in. repository-N: clones that cells run in.
Only `results` says what is done: nothing here can make a cell count as finished.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fakeprint.errors import InputError
from fakeprint.files import read_json, remove, write_json
from fakeprint.studies.plan import Options, Plan
from fakeprint.studies.results import Cell

STUDIES = Path(".fakeprint/studies")


@dataclass(frozen=True)
class Failure:
    """Why a cell has no result. own: by its own fault, so that it would fail again; else the machine's."""

    own: bool
    line: str


class Store:
    """The folder of all studies of one repository. root: the repository's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / STUDIES

    def log(self, key: str) -> Path:
        """The file that a cell prints to."""
        return self.folder / "logs" / f"{key}.log"

    def taken(self, key: str) -> Path:
        """The folder of a result that was taken in."""
        return self.folder / "taken" / key

    def clone(self, number: int) -> Path:
        """The folder of a clone of the repository in which cells run, one at a time; from 1."""
        return self.folder / f"repository-{number}"

    def clones(self) -> list[Path]:
        """The clones that there are."""
        return sorted(path for path in self.folder.glob("repository-*") if path.is_dir())

    def ended(self, key: str, seconds: float, failure: Failure | None) -> None:
        """Note how a cell ended: after so many seconds, by a failure or not."""
        about = {"seconds": round(seconds, 1)} if failure is None else {"failure": asdict(failure)}
        write_json(self._cell(key), about)

    def seconds(self, key: str) -> float | None:
        """How long a cell took, if it ran here."""
        return self._about(key).get("seconds")

    def failure(self, key: str) -> Failure | None:
        """Why a cell failed the last time."""
        failure = self._about(key).get("failure")
        return Failure(**failure) if failure else None

    def forget_failures(self, cells: list[Cell]) -> None:
        """Let these cells run again, where they have failed."""
        for cell in cells:
            if self.failure(cell.key) is not None:
                remove(self._cell(cell.key))

    def forget(self, key: str) -> None:
        """Remove a cell's note, log and taken result."""
        for path in (self._cell(key), self.log(key), self.taken(key)):
            remove(path)

    def _cell(self, key: str) -> Path:
        return self.folder / "cells" / f"{key}.json"

    def _about(self, key: str) -> dict[str, Any]:
        file = self._cell(key)
        return dict(read_json(file)) if file.exists() else {}

    def remember(self, plan: Plan, cells: list[Cell], jobs: int, running: list[str] | None = None) -> None:
        """Note a study's options and cells, those of earlier runs with other options too."""
        known = self.cells(plan.name) | {cell.key: (cell.arm, cell.replicate) for cell in cells}
        about = {"options": asdict(plan.options), "jobs": jobs, "running": running or [], "cells": known}
        if about != self._study(plan.name):
            write_json(self.folder / f"{plan.name}.json", about)

    def options(self, name: str) -> Options:
        """The options of a study's last run."""
        known = self._study(name).get("options", {})
        return Options(known.get("preset"), known.get("data"), tuple(known.get("changes", [])))

    def jobs(self, name: str) -> int:
        """How many cells its last run had at a time."""
        return int(self._study(name).get("jobs", 1))

    def running(self, name: str) -> list[str]:
        """Keys of the cells that run now."""
        return list(self._study(name).get("running", [])) if self.is_locked(name) else []

    def cells(self, name: str) -> dict[str, tuple[str, int]]:
        """Arm and replicate of each cell that the study has ever asked for, by its key."""
        return {key: (arm, replicate) for key, (arm, replicate) in self._study(name).get("cells", {}).items()}

    def names(self) -> list[str]:
        """The studies that have run here."""
        return sorted(file.stem for file in self.folder.glob("*.json"))

    def drop(self, name: str) -> None:
        """Remove what is kept of a study, except its cells."""
        remove(self.folder / f"{name}.json")

    def _study(self, name: str) -> dict[str, Any]:
        file = self.folder / f"{name}.json"
        return dict(read_json(file)) if file.exists() else {}

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """While inside, no other process runs or removes a study. Raises InputError if one does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / "lock", timeout=0):
                (self.folder / "holder").write_text(name)
                yield
        except Timeout:
            holder = self.folder / "holder"
            other = holder.read_text() if holder.exists() else name
            raise InputError(f"another process is running the study {other}; wait for it or stop it") from None

    def is_locked(self, name: str) -> bool:
        """Whether a process runs this study now."""
        holder = self.folder / "holder"
        if not holder.exists() or holder.read_text() != name:
            return False
        try:
            with FileLock(self.folder / "lock", timeout=0):
                return False
        except Timeout:
            return True
