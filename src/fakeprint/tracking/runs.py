"""What stages and searches call. Every call returns at once but `record` and `record_study`; see `background`."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fakeprint.digests import model_digest
from fakeprint.params import Params, with_effect
from fakeprint.tracking.background import Background
from fakeprint.tracking.making import note
from fakeprint.tracking.origin import describe, experiment_tag, machine_tags, source_tags
from fakeprint.tracking.session import CHECKPOINT, SEARCH, Point, Session, data_digests, flattened


class TrackedRun:
    """One run, of a training, a trial or a search. Without tracking, it does nothing."""

    def __init__(self, background: Background | None = None):
        self._background = background
        self.digest = ""

    def log_epoch(self, metrics: dict[str, float], step: int) -> None:
        """Add a point to the curve of each metric; step is the epoch, or the number of trials so far."""
        point = Point(step, dict(metrics), time.time())
        self._send(lambda session: session.log_curves([point]))

    def log_metrics(self, metrics: dict[str, Any]) -> None:
        """Set metrics; nested mappings become `recall/CLASS`."""
        self._send(lambda session: session.log_metrics(flattened(metrics, "/")))

    def set_tags(self, tags: dict[str, str]) -> None:
        """Set tags."""
        self._send(lambda session: session.set_tags(tags))

    def finish(self, model_folder: Path) -> None:
        """Mark the run as that of the model in this folder; call it last, when the folder is written."""
        if self._background:
            self.digest = model_digest(model_folder)

    def _send(self, task: Callable[[Session], object]) -> None:
        if self._background:
            self._background.send(task)


@contextlib.contextmanager
def training_run(params: Params, name: str, checkpoint: str) -> Iterator[TrackedRun]:
    """One MLflow run around the training of one network; an exception inside marks it FAILED, Ctrl-C KILLED.

    checkpoint: what the training is resumed by; an interrupted run that has it is continued instead of a new one begun.
    """
    if not params.tracking.enabled:
        yield TrackedRun()
        return

    start = time.time()
    tags = {**source_tags(name, "network"), **machine_tags("network"), CHECKPOINT: checkpoint}

    def begin(session: Session) -> None:
        session.begin(name, tags | {experiment_tag(): "true"})
        session.log_params(describe(params, name, "network"))
        session.log_data(params.title, data_digests())
        session.monitor()

    with Background(params.tracking.experiment) as background:
        background.send(begin)
        run = TrackedRun(background)
        with _ended(lambda status: background.send(lambda session: session.end(status, run.digest), final=True)):
            yield run
        if run.digest:
            note(run.digest, start, tags)


@contextlib.contextmanager
def _ended(end: Callable[[str], None]) -> Iterator[None]:
    """Call `end` with the status in which MLflow's run ends: FINISHED, FAILED by an exception, KILLED by Ctrl-C."""
    try:
        yield
    except BaseException as error:
        end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    end("FINISHED")


class TrackedSearch(TrackedRun):
    """The run of a hyperparameter search, and one below it for each trial.

    ends: whether this process ends it.
    """

    def __init__(self, background: Background | None = None, ends: bool = True):
        super().__init__(background)
        self.ends = ends

    @contextlib.contextmanager
    def trial(self, name: str, key: str, kind: str, settings: dict[str, Any]) -> Iterator[TrackedRun]:
        """A run below the search's; an exception inside marks it FAILED, Ctrl-C KILLED.

        key: the same for the same trial of the same search.
        """
        if self._background is None:
            yield TrackedRun()
            return
        background = self._background

        def begin(session: Session) -> None:
            tags = {**source_tags(name, kind), CHECKPOINT: key, "mlflow.parentRunId": session.search_id}
            session.begin(name, tags)
            session.log_params(with_effect(settings))

        background.send(begin)
        try:
            with _ended(lambda status: background.send(lambda session: session.end(status), final=True)):
                yield TrackedRun(background)
        finally:
            background.send(lambda session: session.turn_to(session.search_id), final=True)


@contextlib.contextmanager
def search_run(
    params: Params,
    name: str,
    study: str,
    kind: str,
    settings: dict[str, Any],
    agreed: Callable[[str], str] = str,
    ends: bool = True,
) -> Iterator[TrackedSearch]:
    """One MLflow run around a hyperparameter search; the same study continues in its own run.

    An exception inside marks it FAILED, Ctrl-C KILLED.

    agreed: the id that all processes of the search use, given the one that this process would. ends: whether this
    process ends the run, and the trials of dead processes below it.
    """
    if not params.tracking.enabled:
        yield TrackedSearch()
        return

    def begin(session: Session) -> None:
        tags = {**source_tags(name, "search"), **machine_tags(kind), SEARCH: study, "search.kind": kind}
        session.begin_search(name, tags, agreed)
        session.log_params(settings)
        session.log_data(params.title, data_digests())
        if ends:
            session.end_dead_trials()

    def end(status: str) -> None:
        background.send(Session.end_dead_trials)
        background.send(lambda session: session.end(status), final=True)

    with Background(params.tracking.experiment) as background:
        background.send(begin)
        with _ended(end) if ends else contextlib.nullcontext():
            yield TrackedSearch(background, ends)


def record(params: Params, models: Sequence[str]) -> None:
    """Log everything about these models that training did not, and tag them and no others with this DVC experiment.

    models: the names on the leaderboard; their folders are models/NAME.
    """
    if not params.tracking.enabled:
        return
    from fakeprint.tracking import evaluated  # trainings and searches do without

    with Background(params.tracking.experiment) as background:
        background.finish(lambda session: evaluated.record(session, params, models))


def record_study(params: Params, study: str, **content: Any) -> list[str]:
    """Write a study's run and attach its cells' runs, whose ids are returned.

    content: the arguments of `tracking.studies.record`. Where MLflow cannot be used, one warning says so.
    """
    if not params.tracking.enabled:
        return []
    from fakeprint.tracking import studies

    attached: list[str] = []
    with Background(params.tracking.experiment) as background:
        background.finish(lambda session: attached.extend(studies.record(session, study, **content)))
    return attached
