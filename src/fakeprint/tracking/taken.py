"""The runs of results that another machine computed without MLflow, and that `fakeprint study take` took in."""

from dataclasses import dataclass
from pathlib import Path

from fakeprint.files import read_json
from fakeprint.params import Params
from fakeprint.tracking.connection import lock
from fakeprint.tracking.evaluated import FIGURES, curves, shown
from fakeprint.tracking.origin import describe, source_tags
from fakeprint.tracking.session import Session

TAKEN = "fakeprint.taken"  # tag: the key of the cell that the result is of
ORIGIN = {"fakeprint.origin": "taken in; trained on another machine"}
NOT_OF_THIS_COMMIT = ("git.commit", "mlflow.source.git.commit", "dvc.baseline")


@dataclass(frozen=True)
class TakenModel:
    """A model of a result that was taken in.

    key: of the result's cell. settings: its parameters. folder: with metrics/NAME/evaluate.json,
    metrics/robustness.json and, for a network, metrics/NAME/history.csv. cell: which one it is, such as
    `no flip, seed 3`. seconds: that the cell took there, None where unknown.
    """

    key: str
    model: str
    settings: Params
    folder: Path
    cell: str
    seconds: float | None = None

    @property
    def kind(self) -> str:
        """network, classifier or ensemble."""
        run = self.settings.run
        kinds = {"network": run.networks, "classifier": run.classifiers, "ensemble": run.ensembles}
        return next(kind for kind, names in kinds.items() if self.model in names)


def run_of(session: Session, taken: TakenModel) -> str:
    """The id of the model's run, which is made where there is none, and completed where making it was cut short."""
    tags = {key: value for key, value in source_tags(taken.model, taken.kind).items() if key not in NOT_OF_THIS_COMMIT}
    where = f"tags.`{TAKEN}` = '{taken.key}' AND attributes.run_name = '{taken.model}'"
    with lock():  # so that two processes do not both make the run
        known = session.runs(where)
        if known and known[0].info.status == "FINISHED":
            return str(known[0].info.run_id)
        if known:
            session.turn_to(known[0].info.run_id)
        else:
            session.begin(taken.model, tags | ORIGIN | {TAKEN: taken.key})
        session.log_params(describe(taken.settings, taken.model, taken.kind))
        metrics = taken.folder / "metrics" / taken.model
        session.log_curves(curves(metrics))
        worst = read_json(taken.folder / FIGURES)["models"].get(taken.model, {}).get("worst")
        more = {"seconds": taken.seconds} if taken.seconds is not None else {}
        more |= {"worst_accuracy": worst["accuracy"]} if worst else {}
        session.log_metrics(shown(read_json(metrics / "evaluate.json")) | more)
        session.end("FINISHED")
    return session.run_id
