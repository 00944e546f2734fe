"""The real training loop, interrupted and resumed, in MLflow."""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import stages.train
from fakeprint.training import checkpoints
from fakeprint.training.checkpoints import Checkpoint
from tests.training.test_train_stage import repository

pytestmark = pytest.mark.slow


def test_a_resumed_training_draws_its_curve_once(
    tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("MLFLOW", "DVC", "GIT"))]:
        monkeypatch.delenv(name)
    root = repository(tmp_path / "a clone", epochs=3)
    shutil.copy2(migrated, root)
    content = YAML().load((root / "params.yaml").read_text())
    content["tracking"]["enabled"] = True
    with (root / "params.yaml").open("w") as file:
        YAML().dump(content, file)
    monkeypatch.chdir(root)
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)  # saved after each of these short epochs
    saved = []
    save = Checkpoint.save

    def interrupted(self: Checkpoint, state: Any) -> None:
        save(self, state)
        saved.append(state)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupted)
    with pytest.raises(SystemExit):
        stages.train.main("three_cnn")
    assert steps(root) == {"KILLED": [1]}
    stages.train.main("three_cnn")
    assert steps(root) == {"FINISHED": [1, 2, 3]}


def steps(root: Path) -> dict[str, list[int]]:
    """Of each run's status, the steps of its curve."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fakeprint")
    return {
        run.info.status: [point.step for point in client.get_metric_history(run.info.run_id, "validation_loss")]
        for run in client.search_runs([experiment.experiment_id])
    }
