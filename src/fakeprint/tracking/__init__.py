"""MLflow, and nothing else knows that MLflow exists.

What the UI shows: one experiment (`tracking.experiment`), in it one run for each model that was trained, named after
the model. A run has the model's effective parameters (only those that concern it), the curves of its training, the
figures of its evaluation, and as artifacts the model, the report and the pictures. Tags say where it came from: DVC
experiment, git commit, md5 of the data, package versions, hardware.

A model is identified by its content, the tag `fakeprint.model`: a digest of its folder, and for an ensemble of its
predictions too, since its folder only names the members. So what shows does not depend on which stages ran. Where DVC
skips the training, evaluation still finds the run; where there is none (another machine trained it, the database was
deleted) it is made from the files, curves included, and the tag `fakeprint.origin` says so.

Each DVC experiment whose current leaderboard has the model has a tag, `dvc.experiment.NAME`; `workspace` is plain
`dvc repro`. A model that an experiment did not have to retrain keeps its one run and gets one tag more, so a search
for ``tags.`dvc.experiment.NAME` = 'true'`` shows an experiment's whole leaderboard, and none of its models twice.

Where: `mlflow.db` and `mlartifacts/` in the repository's root, also from DVC's copies of it (`--temp`, `--queue`), or
the server that MLFLOW_TRACKING_URI names.
"""

from fakeprint.tracking.page import page, server
from fakeprint.tracking.runs import TrackedRun, TrackedSearch, attach, model_run, record, search_run

__all__ = ["TrackedRun", "TrackedSearch", "attach", "model_run", "page", "record", "search_run", "server"]
