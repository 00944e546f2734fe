"""MLflow, and nothing else knows that MLflow exists.

What the UI shows: one experiment (`tracking.experiment`), in it one run for each model that was trained, named after
the model. A run has the model's effective parameters (only those that concern it), the curves of its training, the
figures of its evaluation, and as artifacts the model, the report and the pictures. Tags say where it came from: DVC
experiment, git commit, md5 of the data, package versions, hardware.

Two stages log: `train` the curves of a network while it trains, and `track`, the last one, everything else. A model is
identified by its content, the tag `fakeprint.model`: a digest of its folder, and for an ensemble of its predictions
too, since its folder only names the members. So what shows does not depend on which stages ran. `track` finds the run
of a training that DVC skipped; where there is none (a classifier, a network that another machine trained, a database
that was deleted) it is made from the files, curves included.

Each DVC experiment whose current leaderboard has the model has a tag, `dvc.experiment.NAME`; `workspace` is plain
`dvc repro`. A model that an experiment did not have to retrain keeps its one run and gets one tag more, so a search
for ``tags.`dvc.experiment.NAME` = 'true'`` shows an experiment's whole leaderboard, and none of its models twice.

A study has a run too, with its means, differences and report. The runs of its cells' models are below it, and have the
tag `study.NAME`; a run that two studies share is below the one that was reported first. Results of another machine,
which `fakeprint study take` took in, get their runs with the report; the tag `fakeprint.taken` marks them.

Where: `mlflow.db` and `mlartifacts/` in the repository's root, also from DVC's copies of it (`--temp`, `--queue`), or
the server that MLFLOW_TRACKING_URI names.
"""

from fakeprint.tracking.making import noted
from fakeprint.tracking.page import compare_page, page, server
from fakeprint.tracking.runs import TrackedRun, TrackedSearch, record, record_study, search_run, training_run

__all__ = [
    "TrackedRun",
    "TrackedSearch",
    "compare_page",
    "noted",
    "page",
    "record",
    "record_study",
    "search_run",
    "server",
    "training_run",
]
