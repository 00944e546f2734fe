"""MLflow as a user meets it: real databases, a real server, real processes that die."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import stages.track
from fakeprint import params, tracking
from fakeprint.digests import model_digest
from fakeprint.evaluation import champion
from fakeprint.evaluation.report import write_contents
from fakeprint.files import main_root, write_json
from fakeprint.tracking.session import Session
from tests.tracking.conftest import DATASET

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BEGINNING = """
import os, sys, time
from pathlib import Path
from fakeprint import params, tracking
from fakeprint.tracking.connection import import_mlflow
from fakeprint.tracking.session import Session, data_digests
settings = params.load()
def run(checkpoint="same"):
    return tracking.training_run(settings, "hist_cnn", checkpoint)
"""


def model(root: Path, name: str, description: dict[str, Any]) -> Path:
    write_json(root / "models" / name / "model.json", {"name": name, "dataset": asdict(DATASET), **description})
    return root / "models" / name


def client(uri: str = "") -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri or f"sqlite:///{Path.cwd() / 'mlflow.db'}")


def runs(uri: str = "") -> list[Any]:
    """Every run, the oldest first."""
    mlflow = client(uri)
    experiment = mlflow.get_experiment_by_name("fakeprint")
    return mlflow.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])


def experiments(run: Any) -> list[str]:
    """The DVC experiments on whose leaderboard the run's model stands."""
    prefix = "dvc.experiment."
    return sorted(tag.removeprefix(prefix) for tag in run.data.tags if tag.startswith(prefix))


def train(settings: params.Params, checkpoint: str = "a checkpoint") -> None:
    """A training of the network hist_cnn, in two epochs."""
    with tracking.training_run(settings, "hist_cnn", checkpoint) as run:
        run.log_epoch({"train_loss": 0.5}, 1)
        run.log_epoch({"train_loss": 0.25}, 2)
        run.finish(Path("models/hist_cnn"))


def evaluate(name: str, figures: dict[str, Any], pictures: dict[str, bytes] | None = None) -> None:
    """What the stage `evaluate` leaves of a model."""
    tables, drawn = Path("metrics") / name / "evaluate.json", Path("reports") / name
    write_json(tables, figures)
    drawn.mkdir(parents=True, exist_ok=True)
    for file, content in (pictures or {}).items():
        (drawn / file).write_bytes(content)
    write_contents(name, [tables, *sorted(drawn.iterdir())])


def attached(run: Any) -> set[str]:
    return {file.path for file in client().list_artifacts(run.info.run_id)}


def python(script: str, cwd: Path, **environment: str) -> "subprocess.Popen[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "DVC"))}
    return subprocess.Popen(
        [sys.executable, "-c", BEGINNING + textwrap.dedent(script)],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(ROOT / "src"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_fitted_model_has_one_run_with_what_it_was_made_from_and_how_it_did(
    settings: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "loose-nail")
    monkeypatch.setenv("DVC_STAGE", "fit@lda")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)  # a leftover of the shell: neither reused nor complained about
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    before = int(1000 * time.time())
    with tracking.noted(settings, "lda", "classifier"):
        time.sleep(0.1)
    monkeypatch.setenv("DVC_STAGE", "track")
    evaluate("lda", {"accuracy": 0.5, "recall": {"a/b": 0.25}, "f1": {"a/b": 0.5}}, {"confusion.png": b"picture"})
    after = int(1000 * time.time())
    tracking.record(settings, ["lda"])
    tracking.record(settings, ["lda"])

    (run,) = runs()
    assert (run.info.run_name, run.info.status) == ("lda", "FINISHED")
    assert before <= run.info.start_time < run.info.end_time - 90 and run.info.end_time <= after
    assert run.data.params == {
        **{"model": "lda", "kind": "classifier", "seed": "7", "method": "lda", "shrinkage": "auto", "scale": "sqrt"},
        "smote": "none",
        **{"augmented": "True", "features": "['hsv_joint', 'residual', 'spectrum']", "feature.hsv_joint.bins": "8"},
        **{f"feature.residual.{key}": str(value) for key, value in settings.features.residual},
        **{"feature.spectrum.bins": "32"},
    }
    assert run.data.metrics == {"accuracy": 0.5, "recall/a_b": 0.25}
    tags = run.data.tags
    assert tags["dvc.experiment.loose-nail"] == "true"
    assert tags["mlflow.source.name"] == "fit@lda"
    assert tags["data.md5.train.npy"] == "61b3a8faa9c1091806675c230a9abe64"  # printf train | md5sum
    assert {"hardware.cpu", "hardware.cores", "hardware.ram", "version.numpy", "version.scikit-learn"} <= set(tags)
    assert "fakeprint.origin" not in tags
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == (settings.data.title, "61b3a8fa")
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "train")]
    assert attached(run) == {"evaluate.json", "confusion.png"}
    assert list(Path(".fakeprint/made").iterdir()) == []  # the note has been used


def test_a_note_that_an_exception_ends_is_not_written(settings: params.Params) -> None:
    with pytest.raises(ValueError), tracking.noted(settings, "lda", "classifier"):
        raise ValueError
    assert not Path(".fakeprint/made").exists()


def test_a_training_has_its_curves_and_gets_its_evaluation(settings: params.Params) -> None:
    model(Path(), "hist_cnn", {"kind": "network"})
    train(settings)
    evaluate("hist_cnn", {"accuracy": 0.5})
    tracking.record(settings, ["hist_cnn"])
    (run,) = runs()
    assert run.data.metrics == {"train_loss": 0.25, "accuracy": 0.5}
    curve = client().get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 0.5), (2, 0.25)]


def test_a_network_that_is_trained_anew_and_the_same_has_its_evaluation(
    settings: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of code that changes no result DVC trains, finds the same files, and evaluates nothing."""
    model(Path(), "hist_cnn", {"kind": "network"})
    train(settings)
    evaluate("hist_cnn", {"accuracy": 0.5})
    tracking.record(settings, ["hist_cnn"])
    monkeypatch.setenv("DVC_EXP_NAME", "loose-nail")
    tracking.record(settings, ["hist_cnn"])
    monkeypatch.delenv("DVC_EXP_NAME")
    train(settings)
    tracking.record(settings, ["hist_cnn"])

    first, same = runs()
    assert first.data.metrics == same.data.metrics == {"train_loss": 0.25, "accuracy": 0.5}
    assert attached(same) == {"evaluate.json"}
    assert (experiments(first), experiments(same)) == (["loose-nail"], ["workspace"])


def test_another_evaluation_of_the_same_model_replaces_the_first(settings: params.Params) -> None:
    for accuracy, content in ((0.5, b"first"), (0.75, b"second")):
        evaluate("lda", {"accuracy": accuracy}, {"confusion.png": content})
        tracking.record(settings, ["lda"])
    (run,) = runs()
    assert run.data.metrics == {"accuracy": 0.75}
    assert Path("mlartifacts", run.info.run_id, "artifacts/confusion.png").read_bytes() == b"second"


def test_a_model_that_is_not_evaluated_is_one_line(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        stages.track.main()
    line = "error: not evaluated yet: knn, logistic, lda, svm_rbf, boosting, … (8 in all); run `dvc repro`"
    assert capsys.readouterr().err.splitlines() == [line]


def test_a_run_that_was_left_half_made_is_completed(settings: params.Params) -> None:
    evaluate("lda", {"accuracy": 0.5})
    tracking.record(settings, [])  # makes the experiment
    session = Session("fakeprint")
    dead = f"{socket.gethostname()}-{os.getpid()}-1"
    session.begin("lda", {"fakeprint.model": model_digest(Path("models/lda")), "fakeprint.process": dead})
    tracking.record(settings, ["lda"])
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.data.params["method"] == "lda"
    assert run.data.metrics == {"accuracy": 0.5}


def test_a_model_names_each_split_that_there_is(settings: params.Params) -> None:
    for split in ("validation", "test"):
        Path(f"data/arrays/{split}.npy").write_bytes(split.encode())
    evaluate("lda", {})
    tracking.record(settings, ["lda"])
    (run,) = runs()
    inputs = {data.tags[0].value: data.dataset for data in run.inputs.dataset_inputs}
    assert set(inputs) == {"train", "validation", "test"}
    assert len({dataset.digest for dataset in inputs.values()}) == 3
    assert {f"data.md5.{split}.npy" for split in inputs} <= set(run.data.tags)


def test_a_training_logs_what_it_uses_of_the_machine(settings: params.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    end = time.monotonic() + 60
    with tracking.training_run(settings, "hist_cnn", "a checkpoint"):
        while not (Path("mlflow.db").exists() and used()):
            assert time.monotonic() < end
            time.sleep(0.2)
    (run,) = runs()
    assert run.info.status == "FINISHED"


def used() -> bool:
    experiment = client().get_experiment_by_name("fakeprint")
    found = client().search_runs([experiment.experiment_id]) if experiment else []
    return any("system/cpu_utilization_percentage" in run.data.metrics for run in found)


def test_a_search_and_its_trials(settings: params.Params) -> None:
    with tracking.search_run(settings, "search it", "it-1", "network", {"trials": 3}) as search:
        with search.trial("a trial 0", "it-1/0", "network", {"lr": 0.1}) as trial:
            trial.set_tags({"search.pruned": "true"})
        with pytest.raises(ValueError), search.trial("a trial 1", "it-1/1", "network", {"lr": 0.2}):
            raise ValueError
        search.log_epoch({"best_accuracy": 0.5}, 2)
    with tracking.search_run(settings, "search it", "it-1", "network", {"trials": 3}) as search:
        search.log_epoch({"best_accuracy": 0.5}, 2)
        search.log_epoch({"best_accuracy": 0.75}, 3)
    by_name = {run.info.run_name: run for run in runs()}
    assert {name: run.info.status for name, run in by_name.items()} == {
        "search it": "FINISHED",
        "a trial 0": "FINISHED",
        "a trial 1": "FAILED",
    }
    whole = by_name["search it"]
    assert by_name["a trial 0"].data.tags["search.pruned"] == "true"
    assert {run.data.tags["mlflow.parentRunId"] for name, run in by_name.items() if run is not whole} == {
        whole.info.run_id
    }
    curve = client().get_metric_history(whole.info.run_id, "best_accuracy")
    assert [(point.step, point.value) for point in curve] == [(2, 0.5), (3, 0.75)]


def test_processes_that_begin_a_search_at_once_share_its_run(settings: params.Params) -> None:
    def slower(own: str) -> str:
        """The other process was faster: its run is the search's."""
        experiment = client().get_run(own).info.experiment_id
        return str(client().create_run(experiment, run_name="search it").info.run_id)

    with (
        tracking.search_run(settings, "search it", "it-1", "network", {"trials": 1}, slower) as search,
        search.trial("a trial 0", "it-1/0", "network", {"lr": 0.1}),
    ):
        pass
    (whole,) = [run for run in runs() if run.info.run_name == "search it"]
    (trial,) = [run for run in runs() if run is not whole and run.info.run_name == "a trial 0"]
    assert trial.data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert whole.info.status == "FINISHED" and whole.data.params == {"trials": "1"}
    with tracking.search_run(settings, "search it", "it-1", "network", {"trials": 1}, lambda own: "0" * 32):
        pass  # the run of another machine's MLflow, which is not here
    assert len(runs()) == 2


def test_commit_and_whether_code_differs_from_it(settings: params.Params) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    Path("dvc.lock").write_text("results change in every run")
    model(Path(), "hist_cnn", {"kind": "network"})
    train(settings, "first")
    Path("params.yaml").write_text("# changed\n" + Path("params.yaml").read_text())
    train(settings, "second")
    assert [run.data.tags["git.commit"] for run in runs()] == [commit, f"{commit}+dirty"]


def test_what_has_no_effect_is_not_shown(settings: params.Params) -> None:
    model(Path(), "hist_cnn", {"kind": "network"})
    evaluate("hist_cnn", {})
    tracking.record(settings, ["hist_cnn"])
    (run,) = runs()
    shown = run.data.params
    assert shown["model.dropout"] == "0.2"
    assert shown["options.bins"] == "16"
    assert shown["train.transforms.flip.p"] == "0.5"
    assert not [key for key in shown if "rotation" in key or "enabled" in key]
    unused = {"momentum", "nesterov", "patience", "plateau_on", "factor", "step_epochs", "gamma", "mix_p"}
    assert not {f"train.{key}" for key in unused} & set(shown)  # AdamW on a cosine, cross-entropy of unmixed images
    assert shown["train.min_lr"] == "0.0"


def test_a_model_without_a_run_gets_one_from_its_files(settings: params.Params) -> None:
    model(Path(), "hist_cnn", {"kind": "network"})
    Path("metrics/hist_cnn").mkdir(parents=True)
    Path("metrics/hist_cnn/history.csv").write_text(
        "epoch,train_loss,validation_loss,lr\n1,0.75,nan,0.1\n2,0.5,0.625,0.05\n"  # epoch 1 was not validated
    )
    evaluate("hist_cnn", {"accuracy": 0.5})
    tracking.record(settings, ["hist_cnn"])
    tracking.record(settings, ["hist_cnn"])
    (run,) = runs()
    assert run.data.tags["fakeprint.origin"].startswith("made from files")
    assert run.data.metrics == {"train_loss": 0.5, "validation_loss": 0.625, "lr": 0.05, "accuracy": 0.5}
    assert [point.step for point in client().get_metric_history(run.info.run_id, "validation_loss")] == [2]
    assert not [key for key in run.data.tags if key.startswith("hardware")]


def test_figures_per_class_and_of_test(settings: params.Params) -> None:
    figures = {"accuracy": 0.5, "recall": {"a": 0.25}, "precision": {"a": 0.75}, "intervals": {"accuracy": [0.4, 0.6]}}
    evaluate("lda", {**figures, "test": {**figures, "accuracy": 0.375}})
    tracking.record(settings, ["lda"])
    (run,) = runs()
    of_test = {"test/accuracy": 0.375, "test/recall/a": 0.25}
    assert run.data.metrics == {"accuracy": 0.5, "recall/a": 0.25, **of_test}


def test_a_detector_s_figures_are_in_its_run_without_what_would_bury_them(settings: params.Params) -> None:
    generators = {"SD 3": {"recall": 0.5, "auc": 0.75, "fake_images": 2}, "ADM": {"recall": 1.0, "auc": 1.0}}
    detection = {
        "auc": 0.875,
        "generators": generators,
        "generator_mean": {"recall": 0.75},
        "intervals": {"auc": [0.5, 1.0]},
    }
    evaluate("lda", {"detection": detection})
    tracking.record(settings, ["lda"])
    (run,) = runs()
    assert run.data.metrics == {
        "detection/auc": 0.875,
        "detection/generator_mean/recall": 0.75,
        "detection/recall/SD 3": 0.5,
        "detection/recall/ADM": 1.0,
    }


def test_how_a_model_fares_on_degraded_images_is_in_its_run(settings: params.Params) -> None:
    worst = {"cell": "jpeg_50", "accuracy": 0.25}
    write_json("metrics/robustness.json", {"images": 4, "models": {"lda": {"clean": {"accuracy": 1}, "worst": worst}}})
    Path("metrics/robustness.csv").write_text("model,cell,accuracy\nlda2,clean,1.0\nlda,clean,1.0\nlda,jpeg_50,0.25\n")
    Path("reports/robustness").mkdir(parents=True)
    Path("reports/robustness/heat.png").write_bytes(b"picture")
    model(Path(), "knn", {"kind": "classifier"})  # robustness.models left it out
    for name in ("lda", "knn"):
        evaluate(name, {})
    tracking.record(settings, ["lda", "knn"])
    by_name = {run.info.run_name: run for run in runs()}
    run = by_name["lda"]
    assert run.data.metrics == {"worst_accuracy": 0.25}
    assert run.data.tags["robustness.worst"] == "jpeg_50"
    folder = Path("mlartifacts", run.info.run_id, "artifacts")
    assert (folder / "robustness.csv").read_text() == "model,cell,accuracy\nlda,clean,1.0\nlda,jpeg_50,0.25\n"
    assert (folder / "heat.png").read_bytes() == b"picture"
    assert by_name["knn"].data.metrics == {}


def test_a_large_model_is_named_not_attached(settings: params.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("models/lda/classifier.skops").open("wb") as file:
        file.truncate(65 * 2**20)
    evaluate("lda", {})
    tracking.record(settings, ["lda"])
    (run,) = runs()
    assert run.data.tags["model.left_out"] == "65 MiB; DVC keeps it as models/lda"
    assert attached(run) == {"evaluate.json"}


def test_each_experiment_lists_its_leaderboard_and_no_model_twice(
    settings: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate("lda", {})
    for weights, experiment in ((1, None), (2, "less-dropout")):
        if experiment:  # retrains the network; DVC skips the classifier
            monkeypatch.setenv("DVC_EXP_NAME", experiment)
        model(Path(), "hist_cnn", {"kind": "network", "weights": weights})
        train(settings)
        evaluate("hist_cnn", {})
        tracking.record(settings, ["lda", "hist_cnn"])
        tracking.record(settings, ["lda", "hist_cnn"])
    assert [(run.info.run_name, experiments(run)) for run in runs()] == [
        ("hist_cnn", ["workspace"]),
        ("lda", ["less-dropout", "workspace"]),
        ("hist_cnn", ["less-dropout"]),
    ]

    tracking.record(settings, ["lda"])  # narrowed, under the same name
    assert [experiments(run) for run in runs()] == [["workspace"], ["less-dropout", "workspace"], []]


def test_an_ensemble_of_retrained_members_is_another_model(settings: params.Params) -> None:
    folder = model(Path(), "average", {"kind": "ensemble", "members": ["lda"]})
    predictions = Path("data/predictions/average.parquet")
    predictions.parent.mkdir()
    digests = []
    for content in (b"before", b"after", b"before"):
        predictions.write_bytes(content)
        digests.append(model_digest(folder))
    assert digests[0] == digests[2] != digests[1]
    evaluate("average", {})
    tracking.record(settings, ["average"])
    (run,) = runs()
    assert run.data.params["members"] == "['lda']"
    (logged,) = Path("mlartifacts/models").glob("*/artifacts/artifacts")
    assert sorted(file.name for file in logged.iterdir()) == ["average", "lda"]


def test_the_workspace_s_champion_is_registered_where_it_should_be(
    settings: params.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(Path(), "knn", {"kind": "classifier"})
    for name in ("lda", "knn"):
        evaluate(name, {"accuracy": 0.5})
    other = settings.model_copy(update={"tracking": settings.tracking.model_copy(update={"register_": False})})
    for name, given in (("lda", settings), ("knn", other)):
        champion.copy_out(name, "data", settings.predict, decision={"calibration": {"method": "none"}})
        tracking.record(given, ["lda", "knn"])
        assert {"decision.json"} <= files_of_logged_model(name)  # by which whoever loads it answers
    registered = client().get_model_version_by_alias("fakeprint-champion", "champion")
    (lda,) = (run for run in runs() if run.info.run_name == "lda")
    assert (str(registered.version), registered.run_id) == ("1", lda.info.run_id)
    assert {model.name: model.metrics[0].value for model in logged_models()} == {"lda": 0.5, "knn": 0.5}

    copy = Path(".dvc/tmp/exps/standalone/a copy").resolve()
    for part in ("models", "metrics", "data"):
        shutil.copytree(part, copy / part)
    monkeypatch.chdir(copy)  # of an experiment with --temp or --queue: it logs, and registers nothing
    tracking.record(settings, ["lda", "knn"])
    registered = client(f"sqlite:///{main_root() / 'mlflow.db'}").search_model_versions("name = 'fakeprint-champion'")
    assert [version.run_id for version in registered] == [lda.info.run_id]

    monkeypatch.chdir(main_root())
    tracking.record(settings, ["lda", "knn"])
    assert client().get_model_version_by_alias("fakeprint-champion", "champion").run_id != lda.info.run_id


def files_of_logged_model(name: str) -> set[str]:
    ids = [model.model_id for model in logged_models() if model.name == name]
    return {file.name for each in ids for file in Path(f"mlartifacts/models/{each}/artifacts/artifacts").glob("*")}


def logged_models() -> list[Any]:
    experiment = client().get_experiment_by_name("fakeprint")
    return client().search_logged_models([experiment.experiment_id])


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_an_exception_closes_the_run(settings: params.Params, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), tracking.training_run(settings, "hist_cnn", "a checkpoint"):
        raise error
    assert [run.info.status for run in runs()] == [status]


def test_a_killed_run_is_continued_where_it_is_resumed_and_closed_where_not(settings: params.Params) -> None:
    script = """
    with run() as tracked:
        tracked.log_epoch({"train_loss": 0.5}, 1)
        while not Path("mlflow.db").exists() or not logged(): time.sleep(0.1)
        print("logged", flush=True)
        time.sleep(600)
    """
    logged = """
    import sqlite3
    def logged():
        with sqlite3.connect("mlflow.db") as database:
            tables = [name for (name,) in database.execute("select name from sqlite_master")]
            return "metrics" in tables and database.execute("select count(*) from metrics").fetchone()[0]
    """
    process = python(textwrap.dedent(logged) + textwrap.dedent(script), Path.cwd())
    assert process.stdout and process.stdout.readline() == "logged\n", process.communicate()[1]
    with tracking.training_run(settings, "hist_cnn", "same"):
        pass
    first, second = runs()
    assert (first.info.status, second.info.status) == ("RUNNING", "FINISHED")  # a living process keeps its run
    client().delete_run(second.info.run_id)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [run.info.status for run in runs()] == ["RUNNING"]
    with tracking.training_run(settings, "hist_cnn", "same") as run:
        run.log_epoch({"train_loss": 0.25}, 2)
    (only,) = runs()
    assert only.info.status == "FINISHED"
    assert len(client().get_metric_history(only.info.run_id, "train_loss")) == 2

    client().update_run(only.info.run_id, status="RUNNING")
    client().set_tag(only.info.run_id, "fakeprint.process", f"{socket.gethostname()}-{process.pid}-1")
    model(Path(), "hist_cnn", {"kind": "network"})
    train(settings, "another")
    assert [run.info.status for run in runs()] == ["KILLED", "FINISHED"]


def test_two_processes_on_a_fresh_database_at_once(bare_clone: Path, tmp_path: Path) -> None:
    """Once is enough: to make the tables takes seconds, and without a lock this failed in three of three tries."""
    script = """
    import_mlflow()
    me, other = os.environ["ME"], os.environ["OTHER"]
    folder = Path("..", "fresh", ".dvc", "tmp", "exps", me).resolve()
    folder.mkdir(parents=True)
    os.chdir(folder)
    Path("../../../../" + me).touch()
    while not Path("../../../../" + other).exists(): time.sleep(0.005)
    with tracking.training_run(settings, "hist_cnn", me) as tracked:
        tracked.log_epoch({"train_loss": 0.5}, 1)
    """
    pair = [python(script, bare_clone, ME=me, OTHER=other) for me, other in (("one", "two"), ("two", "one"))]
    for process in pair:
        printed, errors = process.communicate(timeout=600)
        assert (process.returncode, printed, errors) == (0, "", "")
    os.chdir(tmp_path / "fresh")  # the root, not DVC's copies of it
    assert [run.info.status for run in runs()] == ["FINISHED", "FINISHED"]
    assert {run.data.tags["fakeprint.checkpoint"] for run in runs()} == {"one", "two"}


def test_two_processes_name_the_same_new_data_at_once(settings: params.Params) -> None:
    rounds = 10
    tracking.record(settings, [])  # makes the experiment
    script = f"""
    from pathlib import Path
    me, other = os.environ["ME"], os.environ["OTHER"]
    import_mlflow()
    session = Session("fakeprint")
    session.begin(me, {{}})
    Path(me, "data/arrays").mkdir(parents=True)
    os.chdir(me)
    for number in range({rounds}):
        Path("data/arrays/train.npy").write_bytes(bytes([number]))
        Path(f"../{{me}} {{number}}").touch()
        patience = time.monotonic() + 300
        while not Path(f"../{{other}} {{number}}").exists():
            time.sleep(0.001)
            assert time.monotonic() < patience
        session.log_data("data", data_digests())
    """
    pair = [python(script, Path.cwd(), ME=me, OTHER=other) for me, other in (("one", "two"), ("two", "one"))]
    for process in pair:
        _, errors = process.communicate(timeout=600)
        assert (process.returncode, errors) == (0, "")
    assert [len(run.inputs.dataset_inputs) for run in runs()] == [rounds, rounds]


def test_disabled_needs_no_mlflow_and_missing_is_one_line(bare_clone: Path) -> None:
    script = """
    class Blocked:
        def find_spec(self, name, *_):
            if name.partition(".")[0] == "mlflow": raise ModuleNotFoundError(f"No module named {name!r}")
    sys.meta_path.insert(0, Blocked())
    with run() as tracked:
        tracked.log_epoch({"train_loss": 0.5}, 1)
        tracked.log_metrics({"accuracy": 0.5})
        tracked.finish(Path("models/lda"))
    with tracking.noted(settings, "lda", "classifier"):
        pass
    tracking.record(settings, ["lda"]) if not settings.tracking.enabled else None
    print("done")
    """
    printed, errors = python(script, bare_clone).communicate()
    assert printed == "done\n"
    assert len(errors.splitlines()) == 1
    assert errors.startswith("warning: MLflow")
    assert "No module named 'mlflow" in errors
    text = (bare_clone / "params.yaml").read_text()
    (bare_clone / "params.yaml").write_text(text.replace("enabled: true # false needs", "enabled: false # false needs"))
    assert python(script, bare_clone).communicate() == ("done\n", "")
    assert not (bare_clone / "mlflow.db").exists()
