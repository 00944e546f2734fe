"""A connection to MLflow's experiment and, once begun or found, one run in it. Every method may raise anything.

Every method may be called again after it failed half-way: what MLflow has already is not added twice.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fakeprint.data.arrays import ARRAYS, SPLITS
from fakeprint.digests import md5
from fakeprint.tracking.connection import connect, get_or_none, is_local, tracking_uri
from fakeprint.tracking.origin import PROCESS, as_key, lives, this_process

MONITOR_STOPS = 10.0  # seconds that the end of a run waits for the last system metrics
MODEL, EVALUATION, CHECKPOINT, SEARCH = (
    f"fakeprint.{name}" for name in ("model", "evaluation", "checkpoint", "search")
)


class Point(NamedTuple):
    """Metrics at one step of their curves; time: of their computation, in seconds since 1970."""

    step: int
    metrics: dict[str, float]
    time: float


class Session:
    """The experiment, and one run in it at a time."""

    def __init__(self, experiment: str):
        self.client, self.experiment_id = connect(experiment)
        self.run_id = self.search_id = ""
        self._steps: dict[str, set[int]] | None = None  # of each metric in a run that is continued
        self._monitor: Any = None

    def begin(self, name: str, tags: dict[str, str], start: float | None = None) -> None:
        """Start a run, or continue an interrupted one that a dead process left and that has the same checkpoint.

        Other runs of this name whose process is dead become KILLED. start: of the run, in seconds since 1970; now if
        None.
        """
        unfinished = self.runs(f"attributes.run_name = '{name}' AND attributes.status != 'FINISHED'")
        dead = [run for run in unfinished if (by := run.data.tags.get(PROCESS, "")) == this_process() or not lives(by)]
        key = tags.get(CHECKPOINT)
        same = [run for run in dead if key and run.data.tags.get(CHECKPOINT) == key]
        for run in dead:
            if run.info.status == "RUNNING" and run not in same[:1]:
                self.client.set_terminated(run.info.run_id, "KILLED")
        if same:
            self._continue(same[0].info.run_id, tags)
        else:
            self._create(name, tags, start)

    def begin_search(self, name: str, tags: dict[str, str], agreed: Callable[[str], str]) -> None:
        """Start the run of a search, or continue that of the same study.

        agreed: the id that all processes of the search use, given the one that this process would.
        """
        known = self.runs(f"tags.`{SEARCH}` = '{tags[SEARCH]}'")
        if known:
            self.turn_to(known[-1].info.run_id)
        else:
            self._create(name, tags)
        shared = agreed(self.run_id)
        if shared != self.run_id and self._has(shared):  # another process began it at the same time
            if not known:
                self.client.delete_run(self.run_id)
            self.turn_to(shared)
        self._continue(self.run_id, tags)
        self.search_id = self.run_id

    def end_dead_trials(self) -> None:
        """The trials of this search whose process is dead become KILLED."""
        below = f"tags.`mlflow.parentRunId` = '{self.search_id}' AND attributes.status = 'RUNNING'"
        for run in self.runs(below):
            if not lives(run.data.tags.get(PROCESS, "")):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _has(self, run_id: str) -> bool:
        """Whether this experiment has the run; a study's processes may log to MLflow of different machines."""
        run = get_or_none(self.client.get_run, run_id)
        return bool(run and run.info.experiment_id == self.experiment_id and run.info.lifecycle_stage == "active")

    def _create(self, name: str, tags: dict[str, str], start: float | None = None) -> None:
        milliseconds = None if start is None else int(1000 * start)
        created = self.client.create_run(self.experiment_id, milliseconds, tags, name)
        self.run_id, self._steps = created.info.run_id, None

    def _continue(self, run_id: str, tags: dict[str, str]) -> None:
        self.turn_to(run_id)
        self.client.update_run(run_id, status="RUNNING")
        self.set_tags(tags)

    def monitor(self) -> None:
        """Log what the run uses of CPU, memory, disk, network and GPU until it ends: MLflow's system metrics."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if self._monitor is None:
            self._monitor = SystemMetricsMonitor(self.run_id, resume_logging=True, tracking_uri=tracking_uri())
            self._monitor.start()

    def end(self, status: str, model: str = "", at: float | None = None) -> None:
        """Close the run: FINISHED, FAILED or KILLED.

        model: the digest of the model that it trained. at: in seconds since 1970; now if None.
        """
        if model:
            self.set_tags({MODEL: model})
        self.client.set_terminated(self.run_id, status, None if at is None else int(1000 * at))
        self._stop_monitor()
        if not is_local(tracking_uri()):
            self._delete_twins()

    def _stop_monitor(self) -> None:
        """Ends the monitor's thread, which may wait for an answer: the run is not to wait with it for long."""
        if self._monitor:
            stopping = threading.Thread(target=self._monitor.finish, name="mlflow monitor", daemon=True)
            stopping.start()
            stopping.join(MONITOR_STOPS)
            self._monitor = None

    def _delete_twins(self) -> None:
        """Delete runs created twice: MLflow repeats its request to create a run if the server answers too late."""
        own = self.client.get_run(self.run_id)
        mine = f"tags.`{PROCESS}` = '{this_process()}' AND attributes.status = 'RUNNING'"
        for run in self.runs(f"attributes.run_name = '{own.info.run_name}' AND {mine}"):
            if run.info.run_id != self.run_id:
                self.client.delete_run(run.info.run_id)

    def turn_to(self, run_id: str) -> None:
        """Go on in a run that there is."""
        self.run_id, self._steps = run_id, {}

    def log_params(self, settings: dict[str, Any]) -> None:
        """Set params, blocks flattened; a value once set stays."""
        from mlflow.entities import Param

        had = self.client.get_run(self.run_id).data.params
        params = [Param(key, str(value)) for key, value in flattened(settings).items() if key not in had]
        self.client.log_batch(self.run_id, params=params)

    def log_metrics(self, metrics: dict[str, float]) -> None:
        """Set metrics that have no curve."""
        self._log([Point(0, metrics, time.time())])

    def log_curves(self, points: Iterable[Point]) -> None:
        """Add points to curves. A continued run has some already: these are left out."""
        if self._steps is None:
            self._log(points)
            return
        for point in points:
            for key in point.metrics.keys() - self._steps.keys():
                history = self.client.get_metric_history(self.run_id, key)
                self._steps[key] = {metric.step for metric in history}
            new = {key: value for key, value in point.metrics.items() if point.step not in self._steps[key]}
            self._log([Point(point.step, new, point.time)])

    def _log(self, points: Iterable[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(key, float(value), int(at * 1000), step)
            for step, named, at in points
            for key, value in named.items()
        ]
        self.client.log_batch(self.run_id, metrics=metrics)

    def set_tags(self, tags: dict[str, str]) -> None:
        """Set tags in one request."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_data(self, title: str, digests: dict[Path, str]) -> None:
        """Name the data: an md5 tag for each split's array, and the arrays as dataset inputs with their context."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        self.set_tags({f"data.md5.{file.name}": digest for file, digest in digests.items()})
        inputs = [
            DatasetInput(
                Dataset(title[:500], digests[file][:8], "local", json.dumps({"file": file.as_posix()})),
                [InputTag("mlflow.data.context", file.stem)],
            )
            for file in digests
        ]
        try:
            self.client.log_inputs(self.run_id, datasets=inputs)
        except MlflowException:
            # MLflow looks whether it knows the data and then adds it: another process was faster, and now it does.
            self.client.log_inputs(self.run_id, datasets=inputs)

    def log_files(self, files: Iterable[Path]) -> None:
        """Attach files that exist: pictures and tables at the top."""
        for file in files:
            if file.exists():
                self.client.log_artifact(self.run_id, str(file))

    def runs(self, where: str) -> list[Any]:
        """The experiment's runs that MLflow's filter `where` selects, the latest first."""
        return self.client.search_runs([self.experiment_id], where, order_by=["attributes.start_time DESC"])


def data_digests() -> dict[Path, str]:
    """The md5 of each split's array that there is."""
    return {file: md5(file) for split in SPLITS if (file := ARRAYS / f"{split}.npy").exists()}


def flattened(settings: dict[str, Any], separator: str = ".", prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` → `{"a.b": 1}`. Characters that MLflow refuses in a name become `_`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = prefix + as_key(key)
        flat |= flattened(value, separator, name + separator) if isinstance(value, dict) else {name: value}
    return flat
