"""The real `dvc repro` in a real clone: what it runs, what it writes, and that twice gives the same."""

import json
import signal
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.pipeline.clones import Clone, ran, tiny_clone

pytestmark = pytest.mark.slow

MODELS = ["knn", "lda", "hist_cnn", "three_cnn", "average"]


def test_every_stage_runs_once_in_a_path_with_spaces_and_without_git_identity(reproduced: Clone) -> None:
    stages = ran((reproduced.root.parent / ".printed").read_text())
    assert len(stages) == len(set(stages))
    assert {name.split(":")[-1] for name in stages} == {
        *("draw", "check", "validate", "prepare", "augment", "predict_degraded", "calibrate"),
        *("robustness", "compare", "decide", "submit", "track"),
        *("features@hsv_hist", "features@spectrum", "fit@knn", "fit@lda", "train@hist_cnn", "train@three_cnn"),
        *("predict@hist_cnn", "predict@three_cnn", "predict_classifiers@knn", "predict_classifiers@lda"),
        *("ensemble@average", "evaluate_ensembles@average", "evaluate@hist_cnn", "evaluate@three_cnn"),
        *("evaluate_classifiers@knn", "evaluate_classifiers@lda"),
    }


def test_outputs_have_the_names_and_columns_that_others_build_on(reproduced: Clone) -> None:
    for name in MODELS:
        figures = reproduced.json(f"metrics/{name}/evaluate.json")
        assert {"accuracy", "macro_f1", "log_loss", "ece", "roc_auc", "recall"} <= set(figures)
        assert len(figures["recall"]) == len(figures["intervals"]["recall"]) == 5
        assert figures["intervals"]["macro_f1"][0] < figures["macro_f1"] < figures["intervals"]["macro_f1"][1]
        predictions = pd.read_parquet(reproduced.root / f"data/predictions/{name}.parquet")
        assert list(predictions.columns[:3]) == ["image_id", "split", "label"]
        probabilities = predictions.filter(like="p_")
        assert probabilities.shape == (35, 5)
        assert (probabilities.sum(axis=1) - 1).abs().max() < 1e-6
        assert predictions["split"].value_counts().to_dict() == {"validation": 25, "test": 10}
        calibrated = pd.read_parquet(reproduced.root / f"data/calibrated/{name}.parquet")
        assert calibrated.columns.equals(predictions.columns) and len(calibrated) == 35
        degraded = pd.read_parquet(reproduced.root / f"data/calibrated/degraded/noise_2/{name}.parquet")
        assert set(degraded["split"]) == {"validation"} and len(degraded) == 25
        fitted = reproduced.json(f"models/calibration/{name}.json")
        assert (fitted["calibration"]["method"], fitted["on"], fitted["images"]) == ("temperature", "validation", 25)
        scores = reproduced.json("metrics/calibration.json")["models"][name]
        assert set(scores) == {"clean", "noise_2"} and set(scores["clean"]) == {"before", "after"}
    assert reproduced.json("models/champion/champion.json")["model"] in MODELS
    champion = reproduced.json("metrics/leaderboard.json")["champion"]
    assert reproduced.json("models/champion/champion.json")["model"] == champion
    decision, fitted = reproduced.json("models/champion/decision.json"), f"models/calibration/{champion}.json"
    assert decision["calibration"] == reproduced.json(fitted)["calibration"]
    assert decision["fitted_on"]["images"] == 25 and decision["certificate"]["threshold"] is None
    line = reproduced.json("metrics/decision.json")["certificate"]["line"]
    assert line.startswith("not certifiable with 25 images: at most 2 % errors with 95 % confidence need at least 149")
    assert set(pd.read_csv(reproduced.root / "metrics/risk_coverage.csv")["images"]) == {"validation", "noise_2"}
    pictures = {path.stem for path in (reproduced.root / "reports/decision").iterdir()}
    assert pictures == {"risk_coverage", "images", "classes", "sets"}


def test_models_are_stored_without_pickle(reproduced: Clone) -> None:
    stored = {path.suffix for path in (reproduced.root / "models").rglob("*") if path.is_file()}
    assert stored <= {".json", ".safetensors", ".skops", ".npy", ".npz", ".csv", ".png"}


def test_submission_follows_the_sample(reproduced: Clone) -> None:
    sample = pd.read_csv(reproduced.root / "data/demo/images/sample_submission.csv", dtype=str)
    submission = pd.read_csv(reproduced.root / "data/submission/submission.csv", dtype=str)
    assert list(submission.columns) == list(sample.columns)
    assert list(submission.iloc[:, 0]) == list(sample.iloc[:, 0])
    classes = reproduced.json("data/arrays/dataset.json")["classes"]
    assert set(submission.iloc[:, 1]) <= set(classes)


def test_second_repro_has_nothing_to_do(clone: Clone) -> None:
    assert ran(clone.dvc("repro")) == []
    (clone.root / "data/tracked.json").unlink()  # as in a clone whose other outputs are the lock's
    assert ran(clone.dvc("repro")) == ["track"]


def test_another_clone_killed_in_five_stages_gives_the_same_lock_metrics_and_submission(
    reproduced: Clone, preloaded: str, tmp_path: Path
) -> None:
    other = tiny_clone(tmp_path / "other", preloaded)
    other.trace()
    other.edit("params.yaml", {"run.workers": 1, "tracking.enabled": False})  # neither may change a result
    outputs = {
        "validate": "data/manifest.parquet",
        "features@spectrum": "data/features/spectrum",
        "fit@lda": "models/lda",
        "train@hist_cnn": "models/hist_cnn",
        "compare": "metrics/leaderboard.json",
    }
    for stage, output in outputs.items():  # killed as the output is about to be moved into place, DVC with it
        done = other.run("python", "-m", "dvc", "repro", check=False, new_session=True, FAKEPRINT_KILL=output)
        assert done.returncode == -signal.SIGKILL
        assert ran(done.stdout)[-1] == stage
        assert not (other.root / output).exists()
        assert [path for path in other.root.rglob(".*.partial*") if path.parent == (other.root / output).parent]
    other.dvc("repro")
    assert list(other.root.rglob("*.partial*")) == []
    for file in ("data/demo/dvc.lock", "data/submission/submission.csv", "metrics/leaderboard.json"):
        assert other.bytes(file) == reproduced.bytes(file), file
    lock, first = _stages(other), _stages(reproduced)
    assert lock.keys() == first.keys()
    assert {name: (lock[name], first[name]) for name in lock if lock[name] != first[name]} == {}


def _stages(clone: Clone) -> dict[str, dict]:
    """What dvc.lock holds, without the file params.yaml: the other clone's says another number of workers."""
    stages = YAML(typ="safe").load(clone.bytes("dvc.lock").decode())["stages"]
    del stages["track"]["params"]["params.yaml"]["tracking"]  # enabled or not
    for stage in stages.values():
        stage["deps"] = [each for each in stage["deps"] if each["path"] != "params.yaml"]
    return stages


def test_leaderboard_command_says_where_everything_is(clone: Clone) -> None:
    printed = clone.fakeprint("leaderboard")
    assert "champion" in printed
    assert "data/submission/submission.csv" in printed
    assert "fakeprint ui" in printed
    (clone.root / "metrics/leaderboard.md").unlink()
    failed = clone.fakeprint("leaderboard", check=False)
    assert failed.strip() == "error: metrics/leaderboard.md is missing: run `make repro` or `dvc repro` first"


@pytest.mark.parametrize("model", ["average", "champion"])
def test_predict_agrees_with_the_pipeline(clone: Clone, model: str) -> None:
    name = clone.json("models/champion/champion.json")["model"] if model == "champion" else model
    predictions = pd.read_parquet(clone.root / f"data/calibrated/{name}.parquet")
    test = predictions[predictions["split"] == "test"].set_index("image_id")
    printed = clone.fakeprint("predict", "data/demo/images/test", "--model", model, "--json")
    answers = json.loads(printed)["images"]
    assert len(answers) == 10
    for answer in answers:
        row = test.loc[Path(answer["image"]).stem]
        for name, probability in answer["probabilities"].items():
            assert abs(row[f"p_{name}"] - probability) < 1e-6


def test_the_champion_is_what_its_card_says(clone: Clone) -> None:
    printed = clone.fakeprint("verify", "models/champion")
    assert "the 25 recorded images" in printed
    assert printed.splitlines()[-1] == "match"
    described = clone.root / "models/champion/champion.json"
    content = described.read_bytes()
    described.unlink()  # DVC may have linked it to its cache
    described.write_bytes(content.replace(b"demo", b"dema"))
    printed = clone.fakeprint("verify", "models/champion", check=False)
    assert printed.splitlines()[-1].startswith("differs: 1 of ")


def test_dvc_shows_metrics_params_and_plots(clone: Clone) -> None:
    shown = clone.dvc("metrics", "show")
    assert "accuracy" in shown
    assert "metrics/hist_cnn/evaluate.json" in shown
    assert "intervals" not in shown  # pairs, which a table of metrics passes over
    clone.edit("params.yaml", {"model.dropout": 0.3})
    assert "model.dropout" in clone.dvc("params", "diff")
    clone.dvc("plots", "show", "-o", "page")
    page = (clone.root / "page/index.html").read_text()
    assert "metrics_hist_cnn_history_csv" in page
    assert "metrics_lda_confusion_csv" in page
    assert "metrics_robustness_csv" in page and "heat.png" in page
