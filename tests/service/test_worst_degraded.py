"""GET /models on degraded images, from the leaderboard beside the models folder."""

import json
import shutil
from pathlib import Path

from tests.service.running import models_folder, running

__all__ = ["models_folder"]  # a fixture


def test_the_worst_degradation_is_the_leaderboards(models_folder: Path, tmp_path: Path) -> None:
    models, metrics = tmp_path / "models", tmp_path / "metrics"
    for name in ("lda", "three_cnn"):
        shutil.copytree(models_folder / name, models / name)
    metrics.mkdir()
    worst = {"cell": "jpeg_50", "accuracy": 0.64, "low": 0.58, "high": 0.7}
    row = {"accuracy": 0.8, "low": 0.7, "high": 0.9}
    board = {"compared_on": "test", "images": 250, "models": {"lda": {**row, "worst": worst}, "three_cnn": row}}
    (metrics / "leaderboard.json").write_text(json.dumps(board), encoding="utf-8")
    with running(tmp_path / "service", models, is_ready=False) as client:
        found = {model["name"]: model["worst_degraded"] for model in client.get("/models").json()["models"]}
    assert found["lda"] == {"degradation": "jpeg_50", "value": 0.64, "low": 0.58, "high": 0.7}
    assert found["three_cnn"] is None
    assert found["unibuc"] is None
