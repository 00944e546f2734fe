"""Runs of evaluated models: found by the model's content, or made from the files that DVC keeps."""

import csv
import time
from pathlib import Path
from typing import Any

from fakeprint.files import read_json
from fakeprint.models.description import read_description
from fakeprint.params import Params, settings_of, with_effect
from fakeprint.tracking.connection import lock
from fakeprint.tracking.origin import experiment_tag, files_of, fingerprint, model_digest, source_tags
from fakeprint.tracking.session import FINGERPRINT, Point, Session, data_digests, flattened

LARGEST_MODEL = 64 * 2**20  # bytes; a larger model stays where DVC keeps it, and the run says so
FIGURES, TABLE = Path("metrics/robustness.json"), Path("metrics/robustness.csv")  # on degraded images
HEAT = Path("reports/robustness/heat.png")


def find_or_restore(session: Session, params: Params, name: str, folder: Path) -> bool:
    """Turn to the run of the model in this folder: this experiment's, else the latest, else one made from files.

    Returns whether it was made. Under a lock, so that two processes do not both make it.
    """
    with lock():
        runs = session.runs_of(name, model_digest(folder))
        if not runs:
            _restore(session, params, name, folder)
            return True
        own = [run for run in runs if experiment_tag() in run.data.tags]
        found = (own or runs)[0]
        session.turn_to(found.info.run_id)
        curves = _curves(name)
        if curves and not curves[-1].metrics.items() <= found.data.metrics.items():  # its training lost the server
            session.log_curves(curves)
        return False


def record(session: Session, params: Params, folders: dict[str, Path]) -> None:
    """Tag the runs of these models, and no others, with this DVC experiment; restore missing runs."""
    on_board = set()
    for name, folder in folders.items():
        if find_or_restore(session, params, name, folder):
            _restore_evaluation(session, name, folder)
        _log_robustness(session, name)
        session.set_tags({experiment_tag(): "true"})
        on_board.add(session.run_id)
    for run in session.runs(f"tags.`{experiment_tag()}` = 'true'"):
        if run.info.run_id not in on_board:
            session.delete_tag(run, experiment_tag())


def _log_robustness(session: Session, name: str) -> None:
    """Results on degraded images, if any: worst accuracy, the model's rows, the picture."""
    if not (TABLE.exists() and FIGURES.exists()):
        return
    worst = read_json(FIGURES)["models"].get(name, {}).get("worst")
    if worst:
        session.log_metrics({"worst_accuracy": worst["accuracy"]})
        session.set_tags({"robustness.worst": worst["cell"]})
        header, *rows = TABLE.read_text(encoding="utf-8").splitlines()
        own = [row for row in rows if next(csv.reader([row]))[0] == name]
        session.client.log_text(session.run_id, "\n".join([header, *own, ""]), "robustness.csv")
        session.log_files([HEAT])


def _restore(session: Session, params: Params, name: str, folder: Path) -> None:
    """A run for a model that was trained elsewhere or before the database, or whose training lost the server."""
    kind = read_description(folder)["kind"]
    described = describe(params, name, kind, settings_of(params, name, kind))
    digests = data_digests([])
    tags = source_tags(name, kind) | {FINGERPRINT: fingerprint(described, digests)}
    session.begin(name, tags, new={"fakeprint.origin": "made from files; trained at another time"})
    session.log_params(described)
    session.log_curves(_curves(name))
    session.log_data(params.title, digests)
    session.end("FINISHED", model_digest(folder))


def _restore_evaluation(session: Session, name: str, folder: Path) -> None:
    """The files that evaluation wrote, if any; where it has not run yet, it will log them itself."""
    tables = Path("metrics") / name
    if (tables / "evaluate.json").exists():
        session.log_metrics(shown(read_json(tables / "evaluate.json")))
    session.log_files(
        [tables / "report.txt", tables / "confusion.csv", *sorted((Path("reports") / name).glob("*.png"))]
    )
    log_model(session, folder)


def log_model(session: Session, folder: Path) -> None:
    """Attach the model as `model/NAME/`, an ensemble's members beside it; only say where it is if it is large."""
    members = read_description(folder).get("members", [])
    files = [file for name in (folder.name, *members) for file in files_of(folder.parent / name)]
    size = sum(file.stat().st_size for file in files)
    if size > LARGEST_MODEL:
        session.set_tags({"model.left_out": f"{size / 2**20:.0f} MiB; DVC keeps it as {folder.as_posix()}"})
        return
    for file in files:
        inside = Path("model", file.relative_to(folder.parent).parent).as_posix()
        session.client.log_artifact(session.run_id, str(file), inside)


def describe(params: Params, name: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a model's run."""
    return {"model": name, "kind": kind, "seed": params.seed, **with_effect(settings)}


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
