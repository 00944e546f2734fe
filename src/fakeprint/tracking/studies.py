"""A study's run: its aggregates, its report, and the runs of its cells' models as runs below it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakeprint.tracking.origin import as_key, source_tags
from fakeprint.tracking.session import Session, flattened

if TYPE_CHECKING:
    from fakeprint.tracking.taken import TakenModel

STUDY = "fakeprint.study"  # tag of a study's own run: the study's name
PARENT = "mlflow.parentRunId"
TABLE = "arms.json"
LONGEST = 4000  # characters of a tag


def member_tag(study: str) -> str:
    """The tag of the runs that a study compares; its value says which cells they are."""
    return f"study.{as_key(study)}"


def record(
    session: Session,
    study: str,
    about: Mapping[str, str],
    aggregates: Mapping[str, Any],
    table: Sequence[Mapping[str, Any]],
    files: Iterable[Path],
    cells: Mapping[tuple[str, str], str],
    taken: Sequence["TakenModel"] = (),
    description: str = "",
) -> list[str]:
    """Write the study's run, the one that it had before or a new one, and attach its cells' runs.

    The runs of a cell's models carry the tag of its DVC experiment, or the key of a result that was taken in. They
    become runs below the study's; a run that belongs to another study already stays there, and only gets the tag
    `study.NAME`. A run that the study compared earlier and does not any more is released.

    about: params of the run, such as its question; a value once set stays. aggregates: model → arm → figures; nested
    numbers become metrics `MODEL/ARM/FIGURE/mean`, other values are left out. table: the aggregates as rows, for the
    tab *Evaluation*. files: the report and its pictures. cells: (DVC experiment, model) → which cell it is, such as
    `no flip, seed 3`. taken: models of cells whose results were taken in; their runs are made here, once. description:
    Markdown, on the run's page. Returns the ids of the cells' runs, in the order of `cells` and then of `taken`, each
    once.
    """
    from fakeprint.tracking.taken import run_of  # stages, which import this package, do without

    made = [(run_of(session, each), each.cell) for each in taken]
    _turn_to_parent(session, study, description)
    session.log_params(dict(about))
    figures = flattened(dict(aggregates), "/").items()
    numbers = {key: value for key, value in figures if isinstance(value, int | float) and not isinstance(value, bool)}
    session.log_metrics(numbers)
    columns = list(dict.fromkeys(column for row in table for column in row))
    content = {"columns": columns, "data": [[row.get(column) for column in columns] for row in table]}
    session.client.log_dict(session.run_id, content, TABLE)
    session.set_tags({"mlflow.loggedArtifacts": json.dumps([{"path": TABLE, "type": "table"}])})
    session.log_files(files)
    attached = _attach(session, study, cells, made)
    session.end("FINISHED")
    return attached


def _turn_to_parent(session: Session, study: str, description: str) -> None:
    tags = source_tags(f"study {study}", "study") | {STUDY: study, "mlflow.note.content": description[:LONGEST]}
    known = session.runs(f"tags.`{STUDY}` = '{study}'")
    if known:
        session.turn_to(known[-1].info.run_id)
        session.set_tags(tags)
    else:
        created = session.client.create_run(session.experiment_id, None, tags, f"study {study}")
        session.turn_to(created.info.run_id)


def _attach(
    session: Session, study: str, cells: Mapping[tuple[str, str], str], made: Sequence[tuple[str, str]]
) -> list[str]:
    """Attach the runs of DVC experiments, and these. made: run id and cell of each result that was taken in."""
    member = member_tag(study)
    pairs: list[tuple[Any, str]] = []  # run and cell
    for (experiment, model), cell in cells.items():
        where = f"tags.`dvc.experiment.{as_key(experiment)}` = 'true' AND attributes.run_name = '{model}'"
        pairs += [(run, cell) for run in session.runs(where)[:1]]  # the latest is that of the experiment's model
    pairs += [(session.client.get_run(run_id), cell) for run_id, cell in made]
    found = {run.info.run_id: run for run, _ in pairs}
    for run in session.runs(f"tags.`{member}` != ''"):
        if run.info.run_id not in found:
            session.client.delete_tag(run.info.run_id, member)
            if run.data.tags.get(PARENT) == session.run_id:
                session.client.delete_tag(run.info.run_id, PARENT)
    for run_id, run in found.items():
        which = "; ".join(cell for each, cell in pairs if each.info.run_id == run_id)
        wanted = {member: which[:LONGEST], PARENT: run.data.tags.get(PARENT, session.run_id)}
        for key, value in wanted.items():
            if run.data.tags.get(key) != value:
                session.client.set_tag(run_id, key, value)
    return list(found)
