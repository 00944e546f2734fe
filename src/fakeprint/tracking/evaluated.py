"""What the stage `track` logs of each model: its run, made from files where no training made it, and its evaluation."""

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fakeprint.digests import EVALUATED, explained_name, md5, md5_of
from fakeprint.evaluation.champion import CHAMPION, MODELS, champion_name
from fakeprint.files import main_root, read_json
from fakeprint.models.description import read_description
from fakeprint.params import Params
from fakeprint.tracking.connection import lock
from fakeprint.tracking.logged_model import log_figures, log_model, register
from fakeprint.tracking.making import forget, making_of
from fakeprint.tracking.origin import PROCESS, describe, experiment_tag, source_tags, this_process
from fakeprint.tracking.session import EVALUATION, MODEL, Point, Session, data_digests, flattened

METRICS = Path("metrics")
FIGURES, TABLE = METRICS / "robustness.json", METRICS / "robustness.csv"  # on degraded images
HEAT = Path("reports/robustness/heat.png")
DECISION, DECIDED = METRICS / "decision.json", "decision.json"  # its figures; and beside the champion, itself
ELSEWHERE = {"fakeprint.origin": "made from files; trained at another time"}


def record(session: Session, params: Params, models: Sequence[str]) -> None:
    """Log what each model's run lacks, tag these runs and no others with this DVC experiment, register the champion."""
    data, on_board = data_digests(), {}
    for name in models:
        evaluated = read_json(EVALUATED / f"{name}.json")
        digest = evaluated["model"]
        with lock():  # so that two processes do not both make the run
            run = _found(session, digest, name)
            if run is None:
                _make(session, params, name, digest, data)
            else:
                session.turn_to(run.info.run_id)
                if run.info.status == "RUNNING":  # the process that was to end it is dead
                    _fill(session, params, name, data)
                elif (points := curves(METRICS / name)) and not points[-1].metrics.items() <= run.data.metrics.items():
                    session.log_curves(points)  # its training lost the server
            forget(digest)
        _log_evaluation(session, params, name, evaluated["files"] | _page(params, name) | _decision(name))
        session.set_tags({experiment_tag(): "true"})
        on_board[name] = session.run_id
    for run in session.runs(f"tags.`{experiment_tag()}` = 'true'"):
        if run.info.run_id not in on_board.values():
            session.client.delete_tag(run.info.run_id, experiment_tag())
    if params.tracking.register_ and (MODELS / CHAMPION).exists():
        _register(session, params, on_board)


def _register(session: Session, params: Params, run_ids: dict[str, str]) -> None:
    """Register the champion of the workspace; that of an experiment in a copy (`--temp`, `--queue`) does not count."""
    name = champion_name()
    if name not in run_ids or main_root() != Path.cwd().resolve():
        return
    model = log_model(session.client, run_ids[name], MODELS / name, params.predict, _decision_file(name))
    if model:
        register(session.client, model, params.tracking.registered_name)


def _found(session: Session, digest: str, name: str) -> Any:
    """The run of this model: this experiment's, else the latest; None if there is none."""
    runs = session.runs(f"tags.`{MODEL}` = '{digest}' AND attributes.run_name = '{name}'")
    own = [run for run in runs if experiment_tag() in run.data.tags]
    return next(iter(own or runs), None)


def _make(session: Session, params: Params, name: str, digest: str, data: dict[Path, str]) -> None:
    """A run of a model that has none: a classifier's, an ensemble's, or that of a network trained elsewhere."""
    kind, making = read_description(MODELS / name)["kind"], making_of(digest)
    tags = making.get("tags") or source_tags(name, kind) | ELSEWHERE
    # The digest from the start: a run that is left half made is found by it and completed.
    session.begin(name, tags | {MODEL: digest, PROCESS: this_process()}, making.get("start"))
    _fill(session, params, name, data, making.get("end"))


def _fill(session: Session, params: Params, name: str, data: dict[Path, str], end: float | None = None) -> None:
    """Parameters, curves and data of the session's run, which then ends."""
    description = read_description(MODELS / name)
    members = {"members": description["members"]} if "members" in description else {}
    session.log_params(describe(params, name, description["kind"]) | members)
    session.log_curves(curves(METRICS / name))
    session.log_data(params.title, data)
    session.end("FINISHED", at=end)


def _log_evaluation(session: Session, params: Params, name: str, files: dict[str, str]) -> None:
    """Figures, tables, pictures, results on degraded images and the model itself, unless the run has just these.

    files: paths of what the stages `evaluate`, `explain` and `decide` wrote, with their digests.
    """
    client, run_id = session.client, session.run_id
    worst, rows, heat = _worst(name), _rows(name), md5(HEAT) if HEAT.exists() else ""
    decision = _decision_file(name)
    answers = {"predict": str(params.predict), "decision": md5(decision) if decision else ""}
    digest = md5_of({**files, "worst": str(worst), "rows": rows, "heat": heat, **answers})
    if client.get_run(run_id).data.tags.get(EVALUATION) == digest:
        return
    figures = shown(read_json(METRICS / name / "evaluate.json")) | _answered(files)
    model = log_model(client, run_id, MODELS / name, params.predict, decision)
    log_figures(client, run_id, model, figures | ({"worst_accuracy": worst["accuracy"]} if worst else {}))
    session.log_files([Path(file) for file in files])
    if worst:
        session.set_tags({"robustness.worst": worst["cell"]})
        client.log_text(run_id, rows, "robustness.csv")
        session.log_files([HEAT])
    session.set_tags({EVALUATION: digest})


def _decision(name: str) -> dict[str, str]:
    """The files of the decision on the champion's answers, with their digests; nothing for other models."""
    files = [DECISION, *sorted(Path("reports/decision").glob("*.png"))] if _decision_file(name) else []
    return {file.as_posix(): md5(file) for file in files if file.exists()}


def _decision_file(name: str) -> Path | None:
    """What the champion decides its answers by; None for other models."""
    file = MODELS / CHAMPION / DECIDED
    return file if file.exists() and champion_name() == name else None


def _answered(files: dict[str, str]) -> dict[str, float]:
    """Of the champion: the share of the validation images that it answers, and of the answers that are wrong."""
    if DECISION.as_posix() not in files:
        return {}
    found = read_json(DECISION)["images"]["validation"]
    return {f"answers/{key}": found[key]["share"] for key in ("coverage", "error") if "share" in found[key]}


def _page(params: Params, name: str) -> dict[str, str]:
    """The files of the page that `explain` wrote of this model, with their digests; nothing if it has none."""
    file = EVALUATED / explained_name(name)
    return dict(read_json(file)["files"]) if name in params.explain.models and file.exists() else {}


def _worst(name: str) -> dict[str, Any] | None:
    """The degradation that costs the model most, and its accuracy there; None if the model was not degraded."""
    found: dict[str, Any] = read_json(FIGURES)["models"].get(name, {}) if FIGURES.exists() else {}
    return found.get("worst")


def _rows(name: str) -> str:
    """The model's rows of the table of degraded images, below the table's header."""
    if not TABLE.exists():
        return ""
    header, *rows = TABLE.read_text(encoding="utf-8").splitlines()
    return "\n".join([header, *(row for row in rows if next(csv.reader([row]))[0] == name), ""])


def shown(metrics: dict[str, Any]) -> dict[str, float]:
    """Of the figures per class and per generator only the recall; those of test under `test/`; no intervals.

    A figure that could not be computed is left out.
    """
    kept = {key: value for key, value in metrics.items() if key == "recall" or not isinstance(value, dict)}
    if "detection" in metrics:
        detection = {key: value for key, value in metrics["detection"].items() if key != "intervals"}
        generators = detection.pop("generators", {})
        kept["detection"] = {**detection, "recall": {name: figures["recall"] for name, figures in generators.items()}}
    test = {f"test/{key}": value for key, value in shown(metrics["test"]).items()} if "test" in metrics else {}
    return {key: value for key, value in flattened(kept, "/").items() if value is not None} | test


def curves(folder: Path) -> list[Point]:
    """What training wrote of each epoch into this metrics/NAME; nothing for models without epochs."""
    if not (folder / "history.csv").exists():
        return []
    with (folder / "history.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        Point(int(row.pop("epoch")), {key: float(value) for key, value in row.items() if value != "nan"}, time.time())
        for row in rows  # "nan" where an epoch was not validated
    ]
