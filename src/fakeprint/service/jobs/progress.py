"""How far a job is: read from what DVC and the stage `train` print."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STAGE = re.compile(r"^(?:Running stage '(?P<runs>[^']+)':|Stage '(?P<skipped>[^']+)' (?:didn't change|is cached))")
# As `fakeprint.training.reporting` prints it.
EPOCH = re.compile(
    r"^(?P<name>\w+) epoch (?P<epoch>\d+)/(?P<epochs>\d+): train loss (?P<train_loss>\S+) accuracy "
    r"(?P<train_accuracy>\S+) · "
    r"(?:validation loss (?P<validation_loss>\S+) accuracy (?P<validation_accuracy>\S+) · )?"  # not in every epoch
    r"lr (?P<lr>\S+) "
)
CONTINUED = re.compile(r"^(?P<name>\w+): continuing after epoch (?P<epoch>\d+) of (?P<epochs>\d+)")
TRAIN = "train@"
ERROR = re.compile(r"^error: (?P<line>.+)")
LONGEST_CURVE = 2000  # epochs that are kept
PIECE = 2**20  # bytes of the log that are read at a time


class Progress:
    """Follows a log from where an attempt begins.

    Args:
        log: the file.
        stages: of the whole pipeline.
        networks: that it trains.
        known: what an earlier attempt had reported; its curve goes on.
    """

    def __init__(self, log: Path, stages: int, networks: Sequence[str], known: dict[str, Any]) -> None:
        self._log, self._at, self._rest = log, log.stat().st_size if log.exists() else 0, b""
        self._stages, self._networks = stages, list(networks)
        self._seen: list[str] = []
        self._started: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._epoch_times: list[float] = []
        self.error: str | None = None
        curve = known.get("curve", [])
        self.report: dict[str, Any] = {"stages": stages, "stages_done": 0, "stage": None}
        self._earlier = (known.get("stage"), curve)

    def update(self) -> bool:
        """Read what is new; whether the report has changed."""
        before = repr(self.report)
        if self._log.exists():
            with self._log.open("rb") as file:
                file.seek(self._at)
                while piece := file.read(PIECE):
                    self._at += len(piece)
                    *lines, self._rest = (self._rest + piece).split(b"\n")
                    self._rest = self._rest[-PIECE:]
                    for line in lines:
                        self._line(line.decode(errors="replace").rstrip())
        return repr(self.report) != before

    def _line(self, line: str) -> None:
        if found := STAGE.match(line):
            self._stage(found["runs"] or found["skipped"], runs=found["runs"] is not None)
        elif found := EPOCH.match(line):
            self._epoch(found)
        elif found := CONTINUED.match(line):
            self.report |= {"epoch": int(found["epoch"]), "epochs": int(found["epochs"])}
            if self._earlier[0] == self.report["stage"]:
                self.report["curve"] = self._earlier[1][: int(found["epoch"])]
        elif found := ERROR.match(line):
            self.error = found["line"]

    def _stage(self, name: str, runs: bool) -> None:
        self._end_stage()
        if name not in self._seen:
            self._seen.append(name)
        self._started[name] = time.monotonic()
        done = len(self._seen) - runs
        curve = self.report.get("curve", []) if not name.startswith(TRAIN) else []  # shown until another one begins
        self.report = {"stages": max(self._stages, done), "stages_done": done, "stage": name if runs else None}
        if curve:
            self.report["curve"] = curve
        self._epoch_times = []
        self._estimate()

    def _end_stage(self) -> None:
        name = self.report["stage"]
        if name is None:
            return
        self._took[name] = time.monotonic() - self._started[name]

    def _epoch(self, found: re.Match[str]) -> None:
        self._epoch_times.append(time.monotonic())
        given = {key: value for key, value in found.groupdict().items() if value is not None}
        row = {key: float(value) for key, value in given.items() if key not in ("name", "epochs")}
        curve = [*self.report.get("curve", []), row]
        self.report |= {"epoch": int(found["epoch"]), "epochs": int(found["epochs"]), "curve": curve[-LONGEST_CURVE:]}
        self._estimate()

    def _estimate(self) -> None:
        """Set eta_seconds, once there is something to go by.

        The network that trains needs its remaining epochs at their mean duration so far; each further network is taken
        to need as long as it, and every other stage as long as the mean of those that have ended.
        """
        others = [seconds for name, seconds in self._took.items() if not name.startswith(TRAIN)]
        trainings = [seconds for name, seconds in self._took.items() if name.startswith(TRAIN)]
        waiting = sum(f"{TRAIN}{name}" not in self._seen for name in self._networks)
        trains = (self.report["stage"] or "").startswith(TRAIN)
        per_epoch = self._per_epoch()
        if not others or ((trains or waiting) and per_epoch is None and not trainings):
            return
        if per_epoch is not None:
            each, now = per_epoch * self.report["epochs"], per_epoch * (self.report["epochs"] - self.report["epoch"])
        else:
            each = sum(trainings) / len(trainings) if trainings else 0.0
            now = each if trains else 0.0
        left = max(0, self._stages - len(self._seen) - waiting)
        self.report["eta_seconds"] = round(now + each * waiting + left * sum(others) / len(others), 1)

    def _per_epoch(self) -> float | None:
        stage = self.report["stage"]
        if not self._epoch_times or stage is None:
            return None
        return (self._epoch_times[-1] - self._started[stage]) / len(self._epoch_times)
