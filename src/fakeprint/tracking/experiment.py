"""What the experiment's page in MLflow says and shows: its description, its columns and their order."""

import json

VIEW = "fakeprint"
COLUMNS = ("accuracy", "worst_accuracy", "log_loss")
DESCRIPTION = """\
One run per trained model, named after the model; `search …` is a hyperparameter search, its trials are runs below it;
`study …` is a study, the runs of its arms are below it.

| metric | |
|---|---|
| `accuracy`, `log_loss`, `macro_f1`, `ece` | on validation images |
| `worst_accuracy` | on validation images after the degradation that costs most (tag `robustness.worst`) |
| `test/…` | on labelled test images |

The models of one DVC experiment: ``tags.`dvc.experiment.NAME` = 'true'``, with `workspace` for plain `dvc repro`.
"""
TAGS = {
    "mlflow.note.content": DESCRIPTION,
    f"mlflow.sharedViewState.{VIEW}": json.dumps(
        {
            "orderByKey": "metrics.`accuracy`",
            "orderByAsc": False,
            "selectedColumns": [f"metrics.`{name}`" for name in COLUMNS],
        }
    ),
}
