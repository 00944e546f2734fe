"""How cells run: `temp` and `queue` as DVC experiments in clones of the repository, `direct` as plain modules."""

from dataclasses import dataclass
from typing import Protocol

from fakeprint.studies.results import Cell
from fakeprint.studies.store import Failure


@dataclass(frozen=True)
class Job:
    """A cell that is to run. name: of its experiment. text: its params.yaml."""

    cell: Cell
    name: str
    text: str


@dataclass(frozen=True)
class Ended:
    """A job that has ended, after so many seconds. failure: what went wrong, None if nothing seems to have."""

    job: Job
    seconds: float
    failure: Failure | None


class Runner(Protocol):
    """Runs up to `jobs` cells at a time. Whether a cell is done is for its results to say, not for its runner."""

    jobs: int

    def start(self, job: Job) -> None:
        """Begin a cell. Called only while fewer than `jobs` run."""

    def poll(self) -> list[Ended]:
        """The jobs that have ended since the last call."""

    def stop(self) -> None:
        """End what runs; the next `study run` begins these cells again, networks from their last checkpoint."""
