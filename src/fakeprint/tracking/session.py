"""A connection to MLflow's experiment and, once begun or found, one run in it. Every method may raise anything.

Every method may be called again after it failed half-way: what MLflow has already is not added twice.
"""

import csv
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fakeprint.data.arrays import ARRAYS
from fakeprint.files import read_json
from fakeprint.params import Params, settings_of, with_effect
from fakeprint.tracking.connection import connect, is_local, lock, tracking_uri
from fakeprint.tracking.origin import (
    PROCESS,
    as_key,
    experiment_tag,
    files_of,
    fingerprint,
    lives,
    md5,
    model_digest,
    source_tags,
    this_process,
)

LARGEST_MODEL = 64 * 2**20  # bytes; a larger model stays where DVC keeps it, and the run says so
FIGURES, TABLE = Path("metrics/robustness.json"), Path("metrics/robustness.csv")  # on degraded images
HEAT = Path("reports/robustness/heat.png")
BATCH = 100  # params or tags that MLflow takes in one request; of metrics ten times as many
MODEL, FINGERPRINT, CHECKPOINT, SEARCH = (
    f"fakeprint.{name}" for name in ("model", "fingerprint", "checkpoint", "search")
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

    def begin(self, name: str, tags: dict[str, str], continued_by: str = FINGERPRINT) -> None:
        """Start a run, or continue the one that a dead process left and that has the same tag `continued_by`.

        By the fingerprint only a run that nobody ended is continued, by the checkpoint an interrupted one too. Other
        runs of this name whose process is dead become KILLED.
        """
        unfinished = self._runs(f"attributes.run_name = '{name}' AND attributes.status != 'FINISHED'")
        dead = [run for run in unfinished if (by := run.data.tags.get(PROCESS, "")) == this_process() or not lives(by)]
        key = tags.get(continued_by)
        same = [run for run in dead if key and run.data.tags.get(continued_by) == key]
        if continued_by == FINGERPRINT:
            same = [run for run in same if run.info.status == "RUNNING"]
        for run in dead:
            if run.info.status == "RUNNING" and run not in same[:1]:
                self.client.set_terminated(run.info.run_id, "KILLED")
        if same:
            self._continue(same[0].info.run_id, tags)
        else:
            self._create(name, tags)

    def begin_search(self, name: str, tags: dict[str, str]) -> None:
        """Start the run of a search, or go on in that of the same study."""
        known = self._runs(f"tags.`{SEARCH}` = '{tags[SEARCH]}'")
        if known:
            self._continue(known[0].info.run_id, tags)
        else:
            self._create(name, tags)
        self.search_id = self.run_id

    def _create(self, name: str, tags: dict[str, str]) -> None:
        created = self.client.create_run(self.experiment_id, run_name=name, tags=tags)
        self.run_id, self._steps = created.info.run_id, None

    def _continue(self, run_id: str, tags: dict[str, str]) -> None:
        self.run_id, self._steps = run_id, {}
        self.client.update_run(run_id, status="RUNNING")
        self.set_tags(tags)

    def end(self, status: str, model: str = "") -> None:
        """Close the run: FINISHED, FAILED or KILLED. model: the digest of the model that it trained."""
        if model:
            self.set_tags({MODEL: model})
        self.client.set_terminated(self.run_id, status)
        if not is_local(tracking_uri()):
            self._delete_twins()

    def _delete_twins(self) -> None:
        """A server that answers too late gets MLflow's request to create a run again, and creates two."""
        own = self.client.get_run(self.run_id)
        mine = f"tags.`{PROCESS}` = '{this_process()}' AND attributes.status = 'RUNNING'"
        for run in self._runs(f"attributes.run_name = '{own.info.run_name}' AND {mine}"):
            if run.info.run_id != self.run_id:
                self.client.delete_run(run.info.run_id)

    def turn_back(self) -> None:
        """After a trial, to the run of its search."""
        self.run_id, self._steps = self.search_id, {}

    def take_over(self, name: str, digest: str) -> None:
        """Where an earlier run was of the same model, its evaluation holds: DVC repeats none of it.

        Copies its figures, tags and files, and takes this experiment's name from it.
        """
        earlier = next((run for run in self._runs_of(name, digest) if run.info.run_id != self.run_id), None)
        if earlier is None:
            return
        own = self.client.get_run(self.run_id).data
        self.log_metrics({key: value for key, value in earlier.data.metrics.items() if key not in own.metrics})
        kept = ("mlflow.", "dvc.experiment.")
        self.set_tags(
            {key: value for key, value in earlier.data.tags.items() if key not in own.tags and not key.startswith(kept)}
        )
        with tempfile.TemporaryDirectory() as files:
            self.client.download_artifacts(earlier.info.run_id, "", files)
            self.client.log_artifacts(self.run_id, files)
        self._delete_tag(earlier, experiment_tag())

    def log_params(self, settings: dict[str, Any]) -> None:
        """Set params, blocks flattened; a value once set stays."""
        from mlflow.entities import Param

        had = self.client.get_run(self.run_id).data.params
        params = [Param(key, str(value)) for key, value in flattened(settings).items() if key not in had]
        for start in range(0, len(params), BATCH):
            self.client.log_batch(self.run_id, params=params[start : start + BATCH])

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
        for start in range(0, len(metrics), 10 * BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + 10 * BATCH])

    def set_tags(self, tags: dict[str, str]) -> None:
        """Set tags in one request."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def _delete_tag(self, run: Any, tag: str) -> None:
        if tag in run.data.tags:
            self.client.delete_tag(run.info.run_id, tag)

    def log_data(self, title: str, digests: dict[Path, str]) -> None:
        """Name the data: an md5 tag per file, and the dataset column of the UI, which tells the arrays from others."""
        from mlflow.entities import Dataset, DatasetInput
        from mlflow.exceptions import MlflowException

        self.set_tags({f"data.md5.{file.name}": digest for file, digest in digests.items()})
        whole = fingerprint({}, {file: each for file, each in digests.items() if file.parent == ARRAYS} or digests)
        source = json.dumps({"files": [file.as_posix() for file in digests]})
        dataset = Dataset(name=title[:500], digest=whole[:8], source_type="local", source=source)
        try:
            self.client.log_inputs(self.run_id, datasets=[DatasetInput(dataset)])
        except MlflowException:
            # MLflow looks whether it knows the data and then adds it: another process was faster, and now it does.
            self.client.log_inputs(self.run_id, datasets=[DatasetInput(dataset)])

    def log_files(self, files: Iterable[Path]) -> None:
        """Attach files that exist: pictures and tables at the top."""
        for file in files:
            if file.exists():
                self.client.log_artifact(self.run_id, str(file))

    def log_model(self, folder: Path) -> None:
        """Attach the model as `model/NAME/`, an ensemble's members beside it; only say where it is if it is large."""
        members = read_json(folder / "model.json").get("members", [])
        files = [file for name in (folder.name, *members) for file in files_of(folder.parent / name)]
        size = sum(file.stat().st_size for file in files)
        if size > LARGEST_MODEL:
            self.set_tags({"model.left_out": f"{size / 2**20:.0f} MiB; DVC keeps it as {folder.as_posix()}"})
            return
        for file in files:
            inside = Path("model", file.relative_to(folder.parent).parent).as_posix()
            self.client.log_artifact(self.run_id, str(file), inside)

    def find_or_restore(self, params: Params, name: str, folder: Path) -> bool:
        """Turn to the run of the model in this folder: this experiment's, else the latest, else one made from files.

        Returns whether it was made.
        """
        runs = self._runs_of(name, model_digest(folder))
        if not runs:
            self._restore(params, name, folder)
            return True
        own = [run for run in runs if experiment_tag() in run.data.tags]
        found = (own or runs)[0]
        self.run_id, self._steps = found.info.run_id, {}
        curves = _curves(name)
        if curves and not curves[-1].metrics.items() <= found.data.metrics.items():  # its training lost the server
            self.log_curves(curves)
        return False

    def record(self, params: Params, folders: dict[str, Path]) -> None:
        """See `fakeprint.tracking.record`."""
        with lock():  # two queue workers restore one run
            on_board = set()
            for name, folder in folders.items():
                if self.find_or_restore(params, name, folder):
                    self._restore_evaluation(name, folder)
                self._log_robustness(name)
                self.set_tags({experiment_tag(): "true"})
                on_board.add(self.run_id)
            for run in self._runs(f"tags.`{experiment_tag()}` = 'true'"):
                if run.info.run_id not in on_board:
                    self._delete_tag(run, experiment_tag())

    def _log_robustness(self, name: str) -> None:
        """Results on degraded images, if any: worst accuracy, the model's rows, the picture."""
        if not (TABLE.exists() and FIGURES.exists()):
            return
        worst = read_json(FIGURES)["models"].get(name, {}).get("worst")
        if worst:
            self.log_metrics({"worst_accuracy": worst["accuracy"]})
            self.set_tags({"robustness.worst": worst["cell"]})
            header, *rows = TABLE.read_text(encoding="utf-8").splitlines()
            own = [row for row in rows if next(csv.reader([row]))[0] == name]
            self.client.log_text(self.run_id, "\n".join([header, *own, ""]), "robustness.csv")
            self.log_files([HEAT])

    def _restore(self, params: Params, name: str, folder: Path) -> None:
        """A run for a model that was trained elsewhere or before the database, or whose training lost the server."""
        kind = read_json(folder / "model.json")["kind"]
        described = describe(params, name, kind, settings_of(params, name, kind))
        digests = data_digests([])
        tags = source_tags(name, kind) | {FINGERPRINT: fingerprint(described, digests)}
        self.begin(name, tags)
        if self._steps is None:
            self.set_tags({"fakeprint.origin": "made from files; trained at another time"})
        self.log_params(described)
        self.log_curves(_curves(name))
        self.log_data(params.title, digests)
        self.end("FINISHED", model_digest(folder))

    def _restore_evaluation(self, name: str, folder: Path) -> None:
        """What evaluation wrote, if it has; where it is yet to run, it will say it anew."""
        tables = Path("metrics") / name
        if (tables / "evaluate.json").exists():
            self.log_metrics(shown(read_json(tables / "evaluate.json")))
        self.log_files(
            [tables / "report.txt", tables / "confusion.csv", *sorted((Path("reports") / name).glob("*.png"))]
        )
        self.log_model(folder)

    def _runs_of(self, name: str, digest: str) -> list[Any]:
        """The runs of one model, the latest first."""
        return self._runs(f"tags.`{MODEL}` = '{digest}' AND attributes.run_name = '{name}'")

    def _runs(self, where: str) -> list[Any]:
        return self.client.search_runs([self.experiment_id], where, order_by=["attributes.start_time DESC"])


def describe(params: Params, name: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a model's run."""
    return {"model": name, "kind": kind, "seed": params.seed, **with_effect(settings)}


def data_digests(files: Iterable[Path]) -> dict[Path, str]:
    """The md5 of the train and validation arrays, where there are some, and of these files or folders."""
    arrays = [file for file in (ARRAYS / "train.npy", ARRAYS / "validation.npy") if file.exists()]
    return {file: md5(file) for file in [*arrays, *files]}


def flattened(settings: dict[str, Any], separator: str = ".", prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` → `{"a.b": 1}`. Characters that MLflow refuses in a name become `_`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = prefix + as_key(key)
        flat |= flattened(value, separator, name + separator) if isinstance(value, dict) else {name: value}
    return flat


def shown(metrics: dict[str, Any]) -> dict[str, float]:
    """Of the figures per class and per generator only the recall; those of test under `test/`; no intervals."""
    kept = {key: value for key, value in metrics.items() if key == "recall" or not isinstance(value, dict)}
    if "detection" in metrics:
        detection = {key: value for key, value in metrics["detection"].items() if key != "intervals"}
        generators = detection.pop("generators", {})
        kept["detection"] = {**detection, "recall": {name: figures["recall"] for name, figures in generators.items()}}
    test = {f"test/{key}": value for key, value in shown(metrics["test"]).items()} if "test" in metrics else {}
    return flattened(kept, "/") | test


def _curves(name: str) -> list[Point]:
    """What training wrote of each epoch; nothing for models without epochs."""
    history = Path("metrics") / name / "history.csv"
    if not history.exists():
        return []
    with history.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        Point(int(row.pop("epoch")), {key: float(value) for key, value in row.items()}, time.time()) for row in rows
    ]
