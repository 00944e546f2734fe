"""MLflow, and nothing else knows that MLflow exists.

What the UI shows: one experiment (`tracking.experiment`), in it one run for each model that was trained, named after
the model. A run has the model's effective parameters (only those that concern it), the curves of its training, the
figures of its evaluation, and as artifacts the model, the report and the pictures. Tags say where it came from: DVC
experiment, git commit, md5 of the data, package versions, hardware.

A model is told by its content, the tag `fakeprint.model`: a digest of its folder, and for an ensemble of its
predictions too, since its folder only names the members. So what shows does not depend on which stages ran. Where DVC
skips the training, evaluation still finds the run; where there is none (another machine trained it, the database was
deleted) it is made from the files, curves included, and the tag `fakeprint.origin` says so.

`dvc.experiments` lists the DVC experiments on whose leaderboard the model stands now; `workspace` is plain
`dvc repro`. A model that an experiment did not have to retrain keeps its one run and gets one name more, so a search
for ``tags.`dvc.experiments` LIKE '%NAME%'`` shows an experiment's whole leaderboard, and none of its models twice.

Where: `mlflow.db` and `mlartifacts/` in the repository's root, also from DVC's copies of it (`--temp`, `--queue`), or
the server that MLFLOW_TRACKING_URI names. Everything is sent from a thread. When MLflow fails, one line says so, no
more is tried in this process, and the stage goes on: DVC's files hold everything that MLflow shows.
"""

import contextlib
import csv
import getpass
import hashlib
import importlib
import json
import logging
import os
import platform
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock

from fakeprint.data.arrays import ARRAYS
from fakeprint.files import read_json
from fakeprint.params import Params, settings_of, with_effect

LARGEST_MODEL = 64 * 2**20  # bytes; a larger model stays where DVC keeps it, and the run says so
FIGURES, TABLE = Path("metrics/robustness.json"), Path("metrics/robustness.csv")  # on degraded images
HEAT = Path("reports/robustness/heat.png")
PATIENCE = 60.0  # seconds that the end of a stage waits for what is still to be sent
PACKAGES = ("numpy", "scipy", "scikit-learn", "faiss-cpu", "opencv-python-headless", "torch", "torchvision", "mlflow")
CODE = ("src", "stages", "params.yaml", "dvc.yaml")  # what makes a commit dirty; results change during every run
UNFINISHED = ("fakeprint.process", "fakeprint.fingerprint")  # tags that only a run that is not finished needs
BATCH = 100  # params or tags that MLflow takes in one request

Task = Callable[["Session"], object]


class TrackedRun:
    """What a stage may tell MLflow about one fit, training or ensemble. Without tracking, it does nothing."""

    def __init__(self, sender: "Sender | None" = None):
        self._sender = sender

    def log_epoch(self, metrics: dict[str, float], step: int) -> None:
        """Add a point to the curve of each metric; step is the epoch. Returns at once."""
        self._send(lambda session: session.log_metrics(metrics, step))

    def log_metrics(self, metrics: dict[str, Any]) -> None:
        """Set metrics; nested mappings become `recall/CLASS`. Returns at once."""
        self._send(lambda session: session.log_metrics(flattened(metrics, "/")))

    def finish(self, model_folder: Path) -> None:
        """Mark the run as that of the model in this folder; call it last, when the folder is written."""
        digest = model_digest(model_folder)
        self._send(lambda session: session.finish(model_folder.name, digest))

    def _send(self, task: Task) -> None:
        if self._sender:
            self._sender.send(task)


@contextlib.contextmanager
def model_run(
    params: Params, name: str, kind: str, settings: dict[str, Any], data: Iterable[Path], fingerprint: str | None = None
) -> Iterator[TrackedRun]:
    """One MLflow run around one fit, training or ensemble; an exception inside marks it FAILED, Ctrl-C KILLED.

    settings: see `fakeprint.params.settings_of`. data: the files or folders that it learns from; their md5 become
    tags. fingerprint: what the training is known by when it is resumed; a dead run that has it is continued instead of
    a new one begun.
    """
    if not params.tracking.enabled:
        yield TrackedRun()
        return
    files = [Path(file) for file in data]
    with Sender(params) as sender:
        sender.send(lambda session: session.begin(name, fingerprint))
        described = {"model": name, "kind": kind, "seed": params.seed, **with_effect(settings)}
        sender.send(lambda session: session.log_params(described))
        sender.send(lambda session: session.set_tags(_tags(name, kind, fingerprint) | _hardware(kind) | _versions()))
        sender.send(lambda session: session.log_data(params.title, files))
        with _ended(lambda status: sender.send(lambda session: session.end(status))):
            yield TrackedRun(sender)


@contextlib.contextmanager
def _ended(end: Callable[[str], None]) -> Iterator[None]:
    """Call `end` with the status in which MLflow's run ends: FINISHED, FAILED by an exception, KILLED by Ctrl-C."""
    try:
        yield
    except BaseException as error:
        end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    end("FINISHED")


class TrackedSearch:
    """What a hyperparameter search may tell MLflow: a run of its own, and one below it for each trial."""

    def __init__(self, sender: "Sender | None" = None):
        self._sender = sender

    def log_epoch(self, metrics: dict[str, float], step: int) -> None:
        """Add a point to a curve of the search's own run; step is the number of trials so far."""
        if self._sender:
            self._sender.send(lambda session: session.log_metrics(metrics, step))

    @contextlib.contextmanager
    def trial(self, name: str, fingerprint: str, kind: str, settings: dict[str, Any]) -> Iterator[TrackedRun]:
        """A run below the search's; an exception inside marks it FAILED, Ctrl-C KILLED. Arguments as `model_run`'s."""
        if self._sender is None:
            yield TrackedRun()
            return
        sender = self._sender
        tags = _without_experiment(_tags(name, kind, fingerprint))
        sender.send(lambda session: session.begin_trial(name, fingerprint))
        sender.send(lambda session: session.log_params(with_effect(settings)))
        sender.send(lambda session: session.set_tags(tags))
        with _ended(lambda status: sender.send(lambda session: session.end_trial(status))):
            yield TrackedRun(sender)


@contextlib.contextmanager
def search_run(params: Params, name: str, study: str, kind: str, settings: dict[str, Any]) -> Iterator[TrackedSearch]:
    """One MLflow run around a hyperparameter search; the same study goes on in its own run.

    An exception inside marks it FAILED, Ctrl-C KILLED.
    """
    if not params.tracking.enabled:
        yield TrackedSearch()
        return
    with Sender(params) as sender:
        sender.send(lambda session: session.begin_search(name, study))
        sender.send(lambda session: session.log_params(settings))
        tags = _without_experiment(_tags(name, "search", None)) | {"search.kind": kind}
        sender.send(lambda session: session.set_tags(tags | _hardware(kind) | _versions()))
        sender.send(lambda session: session.log_data(params.title, []))
        with _ended(lambda status: sender.send(lambda session: session.end(status))):
            yield TrackedSearch(sender)


def attach(params: Params, name: str, model_folder: Path, metrics: dict[str, Any], artifacts: Iterable[Path]) -> None:
    """Add figures, files and the model itself to the run of the model in this folder, after its evaluation.

    Of figures per class only the recall: precision and F1 are in the report, and would bury the curves.
    """
    if not params.tracking.enabled:
        return
    files = [Path(file) for file in artifacts]
    with Sender(params) as sender:
        sender.send(lambda session: session.find_or_restore(params, name, model_folder))
        sender.send(lambda session: session.log_metrics(_shown(metrics)))
        sender.send(lambda session: session.log_files(files))
        sender.send(lambda session: session.log_model(model_folder))


def record(params: Params, models: Iterable[str]) -> None:
    """Make `dvc.experiments` name this DVC experiment on the runs of these models and no others; restores missing runs.

    models: the names on the leaderboard; their folders are models/NAME.
    """
    if not params.tracking.enabled:
        return
    folders = {name: Path("models") / name for name in models}
    with Sender(params) as sender:
        sender.send(lambda session: session.record(params, folders))


def flattened(settings: dict[str, Any], separator: str = ".", prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` → `{"a.b": 1}`. Characters that MLflow refuses in a name become `_`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = prefix + re.sub(r"[^\w. -]", "_", str(key))
        flat |= flattened(value, separator, name + separator) if isinstance(value, dict) else {name: value}
    return flat


def model_digest(model_folder: Path) -> str:
    """A digest of a model's files; for an ensemble of its predictions too, since its files only name the members."""
    files = {file.relative_to(model_folder).as_posix(): file for file in _files_of(model_folder)}
    description = model_folder / "model.json"
    if description.exists() and read_json(description).get("kind") == "ensemble":
        files["predictions"] = Path("data/predictions") / f"{model_folder.name}.parquet"
    lines = [f"{name} {_md5(file)}" for name, file in sorted(files.items())]
    return hashlib.md5("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


def main_root(here: Path | None = None) -> Path:
    """The repository's root; from DVC's copy of it under `.dvc/tmp/exps`, that of the repository the copy is of."""
    here = (here or Path.cwd()).resolve()
    for folder in here.parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return here


class Sender:
    """A thread that does tasks one after another; the first that fails ends it with one warning.

    MLflow is imported before the thread starts: a process that forks in the middle of an import may hang its children.
    """

    def __init__(self, params: Params):
        self._params = params
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lost = False
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def __enter__(self) -> "Sender":
        try:
            _import_quietly()
        except Exception as error:
            self._give_up(error)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._give_up(TimeoutError(f"still busy after {PATIENCE:.0f} s"))

    def send(self, task: Task) -> None:
        """Have the thread do this; returns at once."""
        self._tasks.put(task)

    def _work(self) -> None:
        session: Session | None = None
        while (task := self._tasks.get()) is not None:
            if self._lost:
                continue
            try:
                session = session or Session(self._params.tracking.experiment)
                task(session)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if not self._lost:
            self._lost = True
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            print(f"warning: MLflow at {tracking_uri()} is left out from here on: {reason}", file=sys.stderr)


def tracking_uri() -> str:
    """The server that MLFLOW_TRACKING_URI names, else the database in the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{main_root() / 'mlflow.db'}"


def _import_quietly() -> None:
    """Import MLflow without its telemetry, progress bars and chatter, and with patience for seconds, not minutes."""
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    importlib.import_module("mlflow.tracking")
    for logger in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(logger).setLevel(logging.ERROR)


class Session:
    """A connection to MLflow's experiment and, once begun or found, one run in it. Every method may raise anything."""

    def __init__(self, experiment: str):
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = tracking_uri()
        local = not re.match(r"https?:|databricks", uri)
        artifacts = (main_root() / "mlartifacts").as_uri() if local else None
        # Several processes that open a fresh database at once destroy it: its tables are made by one, under a lock.
        with _lock() if local else contextlib.nullcontext():
            self.client = MlflowClient(uri)
            known = self.client.get_experiment_by_name(experiment)
            if known is None:
                with contextlib.suppress(MlflowException):  # another machine was faster
                    self.client.create_experiment(experiment, artifact_location=artifacts)
                known = self.client.get_experiment_by_name(experiment)
        if known is None:
            raise MlflowException(f"the experiment '{experiment}' can not be created")
        if known.lifecycle_stage == "deleted":
            self.client.restore_experiment(known.experiment_id)
        self.experiment_id: str = known.experiment_id
        self.run_id = self.search_id = ""

    def begin(self, name: str, fingerprint: str | None) -> None:
        """Start a run, or continue the unfinished one of the same fingerprint; dead processes' runs become KILLED."""
        unfinished = self._runs(f"attributes.run_name = '{name}' AND attributes.status != 'FINISHED'")
        dead = [run for run in unfinished if not _lives(run.data.tags.get("fakeprint.process", ""))]
        same = [run for run in dead if fingerprint and run.data.tags.get("fakeprint.fingerprint") == fingerprint]
        for run in dead:
            if run.info.status == "RUNNING":
                self.client.set_terminated(run.info.run_id, "KILLED")
        if same:
            self.run_id = same[0].info.run_id
            self.client.update_run(self.run_id, status="RUNNING")
        else:
            self.run_id = self.client.create_run(self.experiment_id, run_name=name).info.run_id

    def begin_search(self, name: str, study: str) -> None:
        """Start the run of a search, or go on in that of the same study."""
        known = self._runs(f"tags.`fakeprint.search` = '{study}'")
        self.run_id = (known[0] if known else self.client.create_run(self.experiment_id, run_name=name)).info.run_id
        self.client.update_run(self.run_id, status="RUNNING")
        self.set_tags({"fakeprint.search": study})
        self.search_id = self.run_id

    def begin_trial(self, name: str, fingerprint: str) -> None:
        """Start the run of a trial below that of its search."""
        self.begin(name, fingerprint)
        self.set_tags({"mlflow.parentRunId": self.search_id})

    def end_trial(self, status: str) -> None:
        """Close the trial's run and turn back to the search's."""
        self.end(status)
        self.run_id = self.search_id

    def finish(self, name: str, digest: str) -> None:
        """The run is that of this model. Where an earlier one was too, its evaluation holds: DVC repeats none of it."""
        earlier = self._runs_of(name, digest)
        self.set_tags({"fakeprint.model": digest})
        if earlier and earlier[0].info.run_id != self.run_id:
            self._take_over(earlier[0])

    def _take_over(self, earlier: Any) -> None:
        """Copy another run's figures and files, and take this experiment's name from it."""
        own = self.client.get_run(self.run_id).data.metrics
        self.log_metrics({key: value for key, value in earlier.data.metrics.items() if key not in own})
        with tempfile.TemporaryDirectory() as files:
            self.client.download_artifacts(earlier.info.run_id, "", files)
            self.client.log_artifacts(self.run_id, files)
        names = [name for name in _names(earlier) if name != _experiment()]
        self.client.set_tag(earlier.info.run_id, "dvc.experiments", ", ".join(names))

    def end(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        from mlflow.exceptions import MlflowException

        if status == "FINISHED":
            for tag in UNFINISHED:
                with contextlib.suppress(MlflowException):  # it has none
                    self.client.delete_tag(self.run_id, tag)
        self.client.set_terminated(self.run_id, status)

    def log_params(self, settings: dict[str, Any]) -> None:
        """Set params, blocks flattened; a value once set stays."""
        from mlflow.entities import Param

        had = self.client.get_run(self.run_id).data.params
        params = [Param(key, str(value)) for key, value in flattened(settings).items() if key not in had]
        for start in range(0, len(params), BATCH):
            self.client.log_batch(self.run_id, params=params[start : start + BATCH])

    def log_metrics(self, metrics: dict[str, float], step: int = 0) -> None:
        """Set metrics in one request."""
        self.log_curves([(step, metrics)])

    def log_curves(self, points: Iterable[tuple[int, dict[str, float]]]) -> None:
        """Set metrics at steps in one request."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now, step) for step, named in points for key, value in named.items()]
        for start in range(0, len(metrics), 10 * BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + 10 * BATCH])

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set tags in one request."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def log_data(self, title: str, files: list[Path]) -> None:
        """Name the data: an md5 tag a file, and the dataset column of the UI, which tells the arrays from others."""
        from mlflow.entities import Dataset, DatasetInput
        from mlflow.exceptions import MlflowException

        arrays = [file for file in (ARRAYS / "train.npy", ARRAYS / "validation.npy") if file.exists()]
        digests = {file: _md5(file) for file in [*arrays, *files]}
        self.set_tags({f"data.md5.{file.name}": digest for file, digest in digests.items()})
        known_by = " ".join(digests[file] for file in arrays or files)
        whole = hashlib.md5(known_by.encode(), usedforsecurity=False).hexdigest()[:8]
        source = json.dumps({"files": [file.as_posix() for file in digests]})
        dataset = Dataset(name=title[:500], digest=whole, source_type="local", source=source)
        try:
            self.client.log_inputs(self.run_id, datasets=[DatasetInput(dataset)])
        except MlflowException:
            # MLflow looks whether it knows the data and then adds it: another process was faster, and now it does.
            self.client.log_inputs(self.run_id, datasets=[DatasetInput(dataset)])

    def log_files(self, files: list[Path]) -> None:
        """Attach files: pictures and tables at the top."""
        for file in files:
            self.client.log_artifact(self.run_id, str(file))

    def log_model(self, folder: Path) -> None:
        """Attach the model as `model/NAME/`, an ensemble's members beside it; only say where it is if it is large."""
        members = read_json(folder / "model.json").get("members", [])
        files = [file for name in (folder.name, *members) for file in _files_of(folder.parent / name)]
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
        here = _experiment()
        own = [run for run in runs if here in _names(run)]
        self.run_id = (own or runs)[0].info.run_id
        return False

    def record(self, params: Params, folders: dict[str, Path]) -> None:
        """See `fakeprint.tracking.record`."""
        here = _experiment()
        with _lock():  # two queue workers add their names to the same run
            on_board = set()
            for name, folder in folders.items():
                if self.find_or_restore(params, name, folder):
                    self._restore_evaluation(name, folder)
                self._log_robustness(name)
                on_board.add(self.run_id)
                names = _names(self.client.get_run(self.run_id))
                self._set_names([*names, here] if here not in names else names)
            for run in self._runs(f"tags.`dvc.experiments` LIKE '%{here}%'"):
                names = _names(run)
                if run.info.run_id not in on_board and here in names:
                    self.run_id = run.info.run_id
                    self._set_names([name for name in names if name != here])

    def _log_robustness(self, name: str) -> None:
        """How the model fared on degraded images, where that was tried: worst accuracy, its rows, the picture."""
        if not (TABLE.exists() and FIGURES.exists()):
            return
        worst = read_json(FIGURES)["models"].get(name, {}).get("worst")
        if worst:
            self.log_metrics({"worst_accuracy": worst["accuracy"]})
            self.set_tags({"robustness.worst": worst["cell"]})
            header, *rows = TABLE.read_text(encoding="utf-8").splitlines()
            own = [row for row in rows if next(csv.reader([row]))[0] == name]
            self.client.log_text(self.run_id, "\n".join([header, *own, ""]), "robustness.csv")
            self.log_files([file for file in [HEAT] if file.exists()])

    def _set_names(self, names: list[str]) -> None:
        self.set_tags({"dvc.experiments": ", ".join(names)})

    def _restore(self, params: Params, name: str, folder: Path) -> None:
        """A run for a model that another machine trained, or a deleted database knew."""
        described = read_json(folder / "model.json")
        kind = described["kind"]
        settings = settings_of(params, name, kind)
        self.run_id = self.client.create_run(self.experiment_id, run_name=name).info.run_id
        self.log_params({"model": name, "kind": kind, "seed": params.seed, **with_effect(settings)})
        origin = {
            "fakeprint.model": model_digest(folder),
            "fakeprint.origin": "made from files; trained at another time",
        }
        self.set_tags(_tags(name, kind, None) | origin)
        history = Path("metrics") / name / "history.csv"
        if history.exists():
            self.log_curves(_curves(history))
        self.log_data(params.title, [])
        self.end("FINISHED")

    def _restore_evaluation(self, name: str, folder: Path) -> None:
        """What evaluation wrote, if it has; where it is yet to run, it will say it anew."""
        tables = Path("metrics") / name
        if (tables / "evaluate.json").exists():
            self.log_metrics(_shown(read_json(tables / "evaluate.json")))
        files = [tables / "report.txt", tables / "confusion.csv", *sorted((Path("reports") / name).glob("*.png"))]
        self.log_files([file for file in files if file.exists()])
        self.log_model(folder)

    def _runs_of(self, name: str, digest: str) -> list[Any]:
        """The runs of one model, the latest first."""
        return self._runs(f"tags.`fakeprint.model` = '{digest}' AND attributes.run_name = '{name}'")

    def _runs(self, where: str) -> list[Any]:
        return self.client.search_runs([self.experiment_id], where, order_by=["attributes.start_time DESC"])


def _shown(metrics: dict[str, Any]) -> dict[str, float]:
    """Of the figures per class and per generator only the recall; those of test under `test/`; no intervals."""
    kept = {key: value for key, value in metrics.items() if key == "recall" or not isinstance(value, dict)}
    if "detection" in metrics:
        detection = {key: value for key, value in metrics["detection"].items() if key != "intervals"}
        generators = detection.pop("generators", {})
        kept["detection"] = {**detection, "recall": {name: figures["recall"] for name, figures in generators.items()}}
    test = {f"test/{key}": value for key, value in _shown(metrics["test"]).items()} if "test" in metrics else {}
    return flattened(kept, "/") | test


def _tags(name: str, kind: str, fingerprint: str | None) -> dict[str, str]:
    commit = _commit()
    tags = {
        "mlflow.source.name": os.environ.get("DVC_STAGE", name),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit.removesuffix("+dirty"),
        "mlflow.user": getpass.getuser(),
        "git.commit": commit,
        "model.kind": kind,
        "dvc.experiments": _experiment(),
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "fakeprint.process": f"{socket.gethostname()}:{os.getpid()}",
        "fakeprint.fingerprint": fingerprint or "",
    }
    return {key: value for key, value in tags.items() if value}


def _without_experiment(tags: dict[str, str]) -> dict[str, str]:
    """A trial stands on no experiment's leaderboard."""
    return {key: value for key, value in tags.items() if key != "dvc.experiments"}


def _experiment() -> str:
    return os.environ.get("DVC_EXP_NAME") or "workspace"


def _names(run: Any) -> list[str]:
    return [name for name in run.data.tags.get("dvc.experiments", "").split(", ") if name]


def _versions() -> dict[str, str]:
    found = {"version.python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[f"version.{package}"] = version(package)
    return found


def _hardware(kind: str) -> dict[str, str]:
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    found = {"hardware.cpu": _cpu(), "hardware.cores": str(os.cpu_count()), "hardware.ram": f"{ram / 2**30:.1f} GiB"}
    if kind == "network":
        import torch

        if torch.cuda.is_available():
            found["hardware.gpu"] = torch.cuda.get_device_name()
    return found


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit, with `+dirty` where code or parameters differ from it."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = ["git", "status", "--porcelain", "--", *CODE]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}+dirty" if changed else commit


def _curves(history: Path) -> list[tuple[int, dict[str, float]]]:
    with history.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [(int(row.pop("epoch")), {key: float(value) for key, value in row.items()}) for row in rows]


def _lives(process: str) -> bool:
    """Whether `host:pid` may still run: always for another host, whose processes can not be seen."""
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname():
        return bool(host)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _lock() -> FileLock:
    folder = main_root() / ".fakeprint"
    folder.mkdir(exist_ok=True)
    return FileLock(folder / "mlflow.lock", timeout=PATIENCE)


def _files_of(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != ".gitignore")


def _md5(path: Path) -> str:
    """The md5 of a file, or of a folder's names and files."""
    if path.is_dir():
        lines = [f"{file.relative_to(path).as_posix()} {_md5(file)}" for file in _files_of(path)]
        return hashlib.md5("\n".join(lines).encode(), usedforsecurity=False).hexdigest()
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
