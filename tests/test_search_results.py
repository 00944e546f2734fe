"""What a search leaves when its trials are over: importances, pictures, and a study that confirms the best trial."""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from fakeprint.commands import search as command
from fakeprint.errors import InputError
from fakeprint.presets import overlaid
from fakeprint.search import confirmation, influence, space
from fakeprint.studies import plan as studies

ROOT = Path(__file__).parents[1]
SEARCH = {
    "model": "three_cnn",
    "trials": 9,
    "fixed": {"train.epochs": 2},
    "ranges": {
        "train.lr": {"low": 0.001, "high": 0.01, "log": True},
        "models.three_cnn.dilation": {"choices": [1, 2]},
        "model.width": {"low": 0.25, "high": 1.0},
    },
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("presets", "studies", "data/demo", "stages", "dvc.yaml", "params.yaml"):
        source = ROOT / ("presets/demo.yaml" if name == "params.yaml" else name)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("images", "tmp"))
        else:
            shutil.copy2(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def planned(**changes: Any) -> space.Plan:
    Path("searches").mkdir(exist_ok=True)
    with Path("searches/it.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({**SEARCH, **changes}, file)
    return space.load(Path("searches/it.yaml"))


def made_up(trials: int, score: Any) -> optuna.Study:
    """A finished search: the score is a function of the values."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(trials):
        trial = study.ask()
        lr = trial.suggest_float("train.lr", 0.001, 0.01, log=True)
        dilation = json.loads(trial.suggest_categorical("models.three_cnn.dilation", ["1", "2"]))
        width = trial.suggest_float("model.width", 0.25, 1.0)
        trial.set_user_attr("folds", [0.5])
        study.tell(trial, score(lr, dilation, width))
    return study


@pytest.mark.slow
def test_the_parameter_that_decides_has_the_largest_importance(here: Path) -> None:
    plan, study = planned(), made_up(40, lambda lr, dilation, width: 0.5 + 0.4 * width + 0.02 * dilation)
    shares = influence.importances(plan, study)
    assert next(iter(shares)) == "model.width" and shares["model.width"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert shares == influence.importances(plan, study)


@pytest.mark.slow
def test_importances_are_written_with_pictures(here: Path) -> None:
    study = made_up(20, lambda lr, dilation, width: 0.5 + 0.3 * width + 20 * lr)
    files = influence.write(planned(), study)
    assert [file.name for file in files] == ["importances.csv", "importances.png", "contour.png"]
    table = pd.read_csv(files[0])
    assert set(table["parameter"]) == set(SEARCH["ranges"]) and table["importance"].is_monotonic_decreasing
    assert all(Image.open(file).size[0] > 300 for file in files[1:])


@pytest.mark.parametrize("trials", [3, 20])
def test_too_few_or_equal_scores_have_no_importances(here: Path, trials: int) -> None:
    study = made_up(trials, lambda *values: 0.5 if trials == 20 else values[2])
    assert influence.importances(planned(), study) == {} and influence.write(planned(), study) == []


@pytest.mark.slow
def test_the_best_becomes_an_arm_that_a_study_takes(here: Path) -> None:
    """params.yaml was edited: that is the baseline of the study, and the arm differs from it in the best's values."""
    yaml = YAML()
    content = yaml.load(Path("params.yaml").read_text(encoding="utf-8"))
    content["train"]["batch_size"], content["train"]["lr"] = 16, 0.005
    yaml.dump(content, Path("params.yaml"))
    values = {"train.lr": 0.002, "models.three_cnn.dilation": 2, "model.width": 0.5}
    confirmation.write_study(planned(), values, confirmation.study_file("confirm"))
    plan = studies.load(Path("studies/confirm.yaml"))
    assert plan.study.baseline == {"train.batch_size": 16, "train.lr": 0.005, "train.epochs": 2}
    assert plan.study.arms == {"best": values} and plan.study.seeds == [1, 2, 3, 4, 5]
    baseline, best = (plan.settings(arm, 1) for arm in plan.arms())
    assert (baseline.train.lr, best.train.lr, best.train.batch_size) == (0.005, 0.002, 16)
    assert best.run.networks == ["three_cnn"] and best.training_seed("three_cnn") == 1


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["unibuc", "unibuc-best"])
def test_a_preset_whose_degradations_have_a_dot_in_their_names(here: Path, preset: str) -> None:
    path = ROOT / f"presets/{preset}.yaml"
    Path("params.yaml").write_text(overlaid(path, "data/elsewhere", ()), encoding="utf-8")
    plan = planned(fixed={"train.epochs": 4}, ranges={"model.width": {"low": 0.25, "high": 1.0}})
    confirmation.write_study(plan, {"model.width": 0.25}, Path("studies/c.yaml"))
    study = YAML(typ="safe").load(Path("studies/c.yaml"))
    assert study["baseline"]["robustness.grid"] == plan.content["robustness"]["grid"]
    assert "resize_0.9" in study["baseline"]["robustness.grid"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("searched", "folds", "seeds"),
    [([0], [1, 2, 3, 4], []), ([0, 2, 4], [1, 3], []), ([0, 1, 2, 3], [], [1, 2, 3, 4, 5])],
)
def test_a_classifier_is_confirmed_on_images_that_the_search_did_not_score(
    here: Path, searched: list[int], folds: list[int], seeds: list[int]
) -> None:
    ranges = {"classifiers.lda.shrinkage": {"low": 0.1, "high": 0.9}}
    search = planned(model="lda", fixed={}, ranges=ranges, folds=searched)
    confirmation.write_study(search, {"classifiers.lda.shrinkage": 0.3}, Path("studies/c.yaml"))
    plan = studies.load(Path("studies/c.yaml"))
    assert (plan.study.folds, plan.study.seeds, plan.study.models) == (folds, seeds, ["lda"])


@pytest.mark.slow
def test_faults_in_one_line(here: Path) -> None:
    with pytest.raises(InputError, match=r"--study: studies/neighbours.yaml exists; give another name"):
        confirmation.study_file("neighbours")
    same = {"train.lr": 0.002, "models.three_cnn.dilation": 1, "model.width": 0.25}
    with pytest.raises(InputError, match=r"arms\.best has no effect"):
        confirmation.write_study(planned(), same, Path("studies/same.yaml"))
    assert not Path("studies/same.yaml").exists()


def test_the_command_names_the_study(here: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["search", "searches/it.yaml", "--study", "neighbours"])
    planned()
    with pytest.raises(InputError, match=r"neighbours\.yaml exists"):
        args.run(args)
