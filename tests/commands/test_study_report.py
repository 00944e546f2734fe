"""`fakeprint study show` and `study report` on results that were taken in, read by the real plan and reader."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fakeprint.__main__ import main
from fakeprint.evaluation.predictions import save_predictions
from fakeprint.files import write_csv, write_json
from fakeprint.studies.outcome import results_of
from fakeprint.studies.plan import load
from fakeprint.studies.store import Store
from tests.studies.made_up import NAMES, cell

ROOT = Path(__file__).parents[2]
STUDY = """\
question: Does dropout help?
arms:
  none: {model.dropout: 0.0}
  more: {model.dropout: 0.6}
models: [three_cnn]
seeds: [1, 2, 3]
test: t
"""
EFFECTS = {"baseline": 0.0, "none": -0.7, "more": 0.02}


def take_in(root: Path, left_out: set[tuple[str, int]]) -> None:
    """Results of all cells but these, as `fakeprint study take` leaves them."""
    plan, store = load(Path("studies/drop.yaml")), Store(root)
    rng = np.random.default_rng(0)
    difficulty = 1 + rng.standard_normal(200)
    for each in plan.cells(plan.arms()):
        if (each.arm, each.replicate) in left_out:
            continue
        scores = {"three_cnn": difficulty + EFFECTS[each.arm] + 0.2 * rng.standard_normal(200)}
        made, folder = cell(each.arm, each.replicate, scores, extras=True), store.taken(each.key)
        write_json(folder / "metrics/three_cnn/evaluate.json", made.figures["three_cnn"])
        arm = next(arm for arm in plan.arms() if arm.name == each.arm)
        (folder / "params.yaml").write_text(plan.text(arm, each.replicate))
        degraded = {name: {"accuracy": value} for name, value in made.degraded["three_cnn"].items()}
        write_json(folder / "metrics/robustness.json", {"models": {"three_cnn": degraded}})
        write_csv(folder / "metrics/three_cnn/history.csv", made.curves["three_cnn"])
        assert made.predictions is not None
        predictions = made.predictions("three_cnn")
        save_predictions("three_cnn", NAMES, {"validation": predictions}, folder / "data/calibrated")
        write_json(folder / "cell.json", {"key": each.key, "seconds": made.seconds, "models": ["three_cnn"]})


@pytest.fixture
def repository(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a study whose cells are done, but for one."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW", "DVC", "GIT"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy2(ROOT / name, tmp_path)
    for name in ("presets", "data/demo"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("images", "*.parquet"))
    shutil.copy2(migrated, tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/drop.yaml").write_text(STUDY)
    take_in(tmp_path, {("more", 2)})
    yield tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "study", *words])
    main()


@pytest.mark.slow
def test_show_prints_a_table_with_verdicts(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run(monkeypatch, "show", "drop")
    printed = capsys.readouterr().out
    assert "drop: three_cnn, compared to baseline" in printed
    assert re.search(r"none +3 .* worse", printed) and re.search(r"more +2 of 3 .*no difference", printed)
    assert "missing: more: seed 2: not run" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.slow
def test_report_writes_the_page_and_mlflows_run(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "report", "drop")
    printed = capsys.readouterr().out
    assert "docs/studies/drop.md" in printed.splitlines()
    page = Path("docs/studies/drop.md").read_text()
    assert "**none**: worse than baseline" in page and "more: seed 2: not run" in page
    assert Path("docs/studies/drop/curves-three_cnn.png").exists()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fakeprint").experiment_id
    [study] = client.search_runs([experiment], "tags.fakeprint.study = 'drop'")
    results = results_of(load(Path("studies/drop.yaml")), repository)
    mean = np.mean([each.figures["three_cnn"]["accuracy"] for each in results.of_arm("none").values()])
    assert study.data.metrics["three_cnn/none/accuracy/mean"] == pytest.approx(mean, abs=1e-6)
    assert study.data.tags["mlflow.note.content"].startswith("Does dropout help?\n\nthree\\_cnn:\n\n- **none**: worse")
    files = {file.path for file in client.list_artifacts(study.info.run_id)}
    assert {"drop.md", "arms.json", "forest-three_cnn.png", "curves-three_cnn.png"} <= files

    below = f"tags.mlflow.parentRunId = '{study.info.run_id}'"
    children = {run.data.tags["study.drop"]: run for run in client.search_runs([experiment], below)}
    assert set(children) == {f"{each.cell.arm}, seed {each.cell.replicate}" for each in results.cells}
    child, result = children["none, seed 2"], results.of_arm("none")[2]
    assert child.info.run_name == "three_cnn" and child.info.status == "FINISHED"
    assert child.data.tags["fakeprint.taken"] == result.cell.key
    assert child.data.params["model.dropout"] == "0.0" and child.data.params["train.seed"] == "2"
    assert child.data.metrics["accuracy"] == pytest.approx(result.figures["three_cnn"]["accuracy"])
    assert child.data.metrics["seconds"] == result.seconds
    curve = [point.value for point in client.get_metric_history(child.info.run_id, "validation_accuracy")]
    assert curve == pytest.approx(list(result.curves["three_cnn"].validation_accuracy))

    client.update_run(child.info.run_id, status="RUNNING")  # as if the report had been killed at that run
    take_in(repository, set())
    run(monkeypatch, "report", "drop")
    again = client.search_runs([experiment], below)
    assert len(again) == len(children) + 1 == 9
    assert {each.info.run_id for each in children.values()} < {each.info.run_id for each in again}
    assert {each.info.status for each in again} == {"FINISHED"}
    assert len(client.get_metric_history(child.info.run_id, "validation_accuracy")) == len(curve)


@pytest.mark.slow
def test_dvc_shows_the_numbers(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of docs/experiments.md."""
    monkeypatch.setattr("fakeprint.tracking.record_study", lambda *words, **content: [])
    run(monkeypatch, "report", "drop")
    for words in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(words, check=True)
    shown = subprocess.run(
        ["dvc", "metrics", "show", "metrics/studies/drop.json"], capture_output=True, text=True, check=True
    ).stdout
    assert "models.three_cnn.none.accuracy.difference" in shown
    curves = ["metrics/studies/drop/curves.csv", "-x", "epoch", "-y", "validation_accuracy"]
    subprocess.run(["dvc", "plots", "show", *curves], capture_output=True, check=True)
    page = Path("dvc_plots/index.html").read_text()
    assert "validation_accuracy" in page and "three_cnn" in page


@pytest.mark.slow
def test_no_result_is_one_line(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(".fakeprint/studies/taken")
    for action in ("show", "report"):
        with pytest.raises(SystemExit) as stopped:
            run(monkeypatch, action, "drop")
        assert stopped.value.code == 1
        assert capsys.readouterr().err == (
            "error: drop: no cell is complete yet; run them with `fakeprint study run studies/drop.yaml`\n"
        )


@pytest.mark.slow
def test_ui_without_runs_is_one_line(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "show", "drop", "--ui")
    assert capsys.readouterr().err.startswith("error: drop: MLflow has 0 runs of this study")
