"""Study files: their arms, what is refused before anything runs, and the schema for editors."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from fakeprint.errors import InputError
from fakeprint.studies.arms import Arm
from fakeprint.studies.plan import Options, Plan, load
from fakeprint.studies.schema import FILE, schema

ROOT = Path(__file__).parents[2]
NO_OPTIONS = Options()
KNN: dict[str, Any] = {"question": "?", "models": ["knn"], "seeds": [1, 2], "vary": "all"}
NETWORK: dict[str, Any] = {"question": "?", "models": ["three_cnn"], "seeds": [1, 2]}
PATH: dict[str, Any] = {
    **NETWORK,
    "arms": {"wide": {"model.width": 0.5}, "slow": {"train.lr": 0.001}, "long": {"train.epochs": 30}},
    "path": ["wide", "slow", "long"],
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a study is checked against: presets, dvc.yaml and what makes the demo."""
    for folder in ("presets", "data/demo"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("images"))
    shutil.copy2(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(content: dict[str, Any], options: Options = NO_OPTIONS) -> Plan:
    path = Path("studies/tried.yaml")
    with path.open("w") as file:
        YAML(typ="safe").dump(content, file)
    return load(path, options)


def test_images_are_degraded_only_for_an_ensemble_that_is_fitted_on_them(root: Path) -> None:
    grid = {"jpeg": {"jpeg": 60}}
    baseline = {"degrade.grid": grid, "ensembles.stacking.members": ["knn"]}
    arms = {"copies": {"ensembles.stacking.degraded": True}}
    found = plan({**KNN, "models": ["stacking"], "baseline": baseline, "arms": arms})
    plain, copies = (found.settings(arm, 1).degrade.grid for arm in found.arms())
    assert (plain, copies) == ({}, grid)
    assert plan({**KNN, "baseline": baseline, "arms": {"k": {"classifiers.knn.k": [3]}}}).baseline.degrade.grid == {}


@pytest.mark.slow
def test_each_arm_changes_the_baseline_and_runs_what_its_models_need(root: Path) -> None:
    arms = {"residual": {"classifiers.knn.features": ["residual"]}}
    found = plan({**KNN, "baseline": {"classifiers.knn.k": [3]}, "arms": arms})
    baseline, residual = found.arms()
    assert [baseline.name, residual.name] == ["baseline", "residual"]
    settings = found.settings(residual, 2)
    assert (settings.seed, settings.classifiers["knn"].k) == (2, [3])
    assert settings.run.models == ["knn"]
    assert settings.run.features == ["residual"]
    assert found.settings(baseline, 1).run.features == ["hsv_joint"]
    assert [(cell.replicate, cell.arm) for cell in found.cells(found.arms())] == [
        (seed, arm) for seed in (1, 2) for arm in ("baseline", "residual")
    ]
    written = YAML(typ="safe").load(found.text(residual, 2))
    assert written == found.content(residual, 2)
    assert "# of every random choice" in found.text(residual, 2)


def test_an_ensemble_brings_its_members_and_their_features(root: Path) -> None:
    found = plan({**KNN, "models": ["average"], "arms": {"calibrated": {"ensembles.average.calibrate": True}}})
    run = found.baseline.run
    assert run.models == ["lda", "svm_rbf", "hist_cnn", "three_cnn", "average"]
    assert run.features == ["hsv_joint", "residual", "spectrum"]


@pytest.mark.slow
def test_the_command_line_changes_the_baseline_and_not_the_arm(root: Path) -> None:
    options = Options("system-a", None, ("train.epochs=2", "model.width=0.5"))
    with pytest.raises(InputError, match=r"data.path: .* does not exist; give the data with --data PATH"):
        plan({**NETWORK, "arms": {"wide": {"model.width": 1.0}}}, options)
    (root / "images").mkdir()
    (root / "images/x.png").write_bytes(b"x")
    found = plan({**NETWORK, "arms": {"wide": {"model.width": 1.0}}}, Options("system-a", "images", options.changes))
    settings = found.settings(found.arms()[1], 1)
    assert (settings.train.epochs, settings.model.width, settings.data.path) == (2, 1.0, "images")
    assert found.baseline.model.width == 0.5


def test_a_seed_of_training_alone_keeps_the_splits(root: Path) -> None:
    found = plan({**NETWORK, "arms": {"slow": {"train.lr": 0.001}}})
    settings = found.settings(found.arms()[0], 2)
    assert (settings.seed, settings.train.seed) == (7, 2)
    folds = plan({**NETWORK, "seeds": [], "folds": [0, 3], "arms": {"slow": {"train.lr": 0.001}}})
    assert folds.settings(folds.arms()[0], 3).prepare.fold == 3


def test_a_combination_of_a_grid_that_equals_the_baseline_is_the_baseline(root: Path) -> None:
    grid = {"classifiers.knn.k": [[1], [3]], "classifiers.knn.metrics": [["l1"], ["l1", "l2"]]}
    found = plan({**KNN, "baseline": {"classifiers.knn.k": [3]}, "grid": grid})
    names = [arm.name for arm in found.arms()]
    assert names == ["baseline", "k=1, metrics=l1", "k=1, metrics=[l1, l2]", "k=3, metrics=l1"]
    assert list(found.merged.values()) == ["baseline"]


@pytest.mark.slow
def test_combinations_that_differ_in_the_fifth_digit_are_two_arms(root: Path) -> None:
    found = plan({**NETWORK, "arms": {}, "grid": {"train.ema": [0.99995, 0.99999]}})
    assert [arm.name for arm in found.arms()] == ["baseline", "ema=0.99995", "ema=0.99999"]
    assert len({cell.key for cell in found.cells(found.arms())}) == 3 * len(found.replicates)


def test_a_full_path_adds_one_arm_after_the_other(root: Path) -> None:
    found = plan(PATH)
    assert [arm.name for arm in found.arms()] == ["baseline", "wide", "wide + slow", "wide + slow + long"]
    assert found.arms()[2] == Arm("wide + slow", {"model.width": 0.5, "train.lr": 0.001}, "slow", "wide")
    assert found.path_names() == [arm.name for arm in found.arms()]


@pytest.mark.slow
def test_a_greedy_path_takes_the_best_arm_of_each_step(root: Path) -> None:
    found = plan({**PATH, "path_order": "greedy"})
    known: dict[str, float] = {}

    def names() -> list[str]:
        return [arm.name for arm in found.arms(lambda arm: known.get(arm.name))]

    first = ["baseline", "wide", "slow", "long"]
    assert names() == first
    known |= {"wide": 0.8, "slow": 0.9}
    assert names() == first  # one of the step is missing
    known |= {"long": 0.9}
    assert names() == [*first, "slow + wide", "slow + long"]  # of equal ones the first in the file
    known |= {"slow + wide": float("nan"), "slow + long": 0.7}  # one has failed for good
    assert names() == [*first, "slow + wide", "slow + long", "slow + long + wide"]
    assert found.path_names(lambda arm: known.get(arm.name)) == ["baseline", "slow", "slow + long"]
    lower = plan({**PATH, "path_order": "greedy", "metrics": ["log_loss"]})
    assert lower.arms(lambda arm: known.get(arm.name))[-1].name == "wide + long"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"a": {"classifiers.knn.kk": [1]}}}, r"arms.a: classifiers.knn.kk is not a parameter"),
        (
            {"arms": {"a": {"classifier.knn.k": [1]}}},
            r"classifier is not a parameter; did you mean 'classifiers'",
        ),
        ({"arms": {"a": {"classifiers.knn.k": [0]}}}, r"arms.a: classifiers.knn.k"),
        ({"arms": {"a": {"train.lr": 0.5}}}, r"arms.a has no effect: train.lr is of networks, and none runs"),
        (
            {"arms": {"a": {"classifiers.lda.shrinkage": 0.5}}},
            r"arms.a has no effect: .*shrinkage leaves knn as",
        ),
        ({"arms": {"a": {"run.workers": 3}}}, r"arms.a has no effect"),
        ({"arms": {"a": {"data.title": "other"}}}, r"arms.a has no effect"),
        ({"arms": {n: {"classifiers.knn.k": [1]} for n in "ab"}}, r"arms.b is the same as a: leave one out"),
        ({"arms": {"baseline": {"classifiers.knn.k": [1]}}}, r"arms.baseline: this name is reserved"),
        ({"arms": {"a": {}}}, r"arms.a changes nothing; give KEY: VALUE"),
        ({"arms": {"a": {"seed": 3}}}, r"arms.a: seed is what seeds sets; leave it out"),
        ({"arms": {"a": {"run.networks": []}}}, r"arms.a: run.networks follows from models"),
        ({"arms": {}}, r"give arms: {NAME: {KEY: VALUE}}, or grid"),
        ({"grid": {"classifiers.knn.k": [[1]]}}, r"give arms or grid, not both"),
        ({"arms": {}, "grid": {"classifiers.knn.k": []}}, r"grid.classifiers.knn.k: give at least one value"),
        ({"folds": [0]}, r"give seeds: \[1, 2, …\] or folds: \[0, 1, …\], not both"),
        ({"seeds": []}, r"give seeds: \[1, 2, …\] or folds"),
        ({"seeds": [], "folds": [7]}, r"prepare"),
        ({"vary": "training"}, r"seeds with vary: training draw nothing anew, because no network runs"),
        (
            {"models": ["knm"]},
            r"'knm' is not a block under classifiers, .*; did you mean 'knn'",
        ),
        ({"metrics": ["acuracy"]}, r"metrics: 'acuracy' is not a figure of evaluate.json; did you mean 'accuracy'"),
        ({"compare_to": "onee"}, r"compare_to: 'onee' is not an arm; did you mean 'one'"),
        (
            {"arms": {}, "grid": {"classifiers.knn.metrics": [["l1", "l2"], ["l1"]]}, "compare_to": "metrics=[l1, l2]"},
            r"compare_to: 'metrics=\[l1, l2\]' is the same as baseline: write compare_to: baseline",
        ),
        ({"path": ["two"]}, r"path: 'two' is not an arm; known: one"),
        ({"preset": "demoo"}, r"there is no preset 'demoo'; did you mean 'demo'"),
        ({"baseline": {"classifiers.knn.kk": [1]}}, r"tried.yaml: baseline: classifiers.knn.kk is not a parameter"),
        ({"qestion": "?"}, r"studies/tried.yaml: qestion is not a parameter; did you mean 'question'"),
    ],
)
def test_what_is_wrong_is_named_before_anything_runs(root: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        plan({**KNN, "arms": {"one": {"classifiers.knn.k": [1]}}, **changes})
    assert "\n" not in str(error.value)


def test_a_pinned_key_is_named_with_its_own(root: Path) -> None:
    study = {**NETWORK, "baseline": {"models.three_cnn.dropout": 0.5}, "arms": {"a": {"model.dropout": 0.1}}}
    with pytest.raises(
        InputError, match=r"no effect, because three_cnn pins model.dropout; set models.three_cnn.dropout"
    ):
        plan(study)


def test_files_that_are_not_there_or_misnamed(root: Path) -> None:
    plan({**KNN, "arms": {"one": {"classifiers.knn.k": [1]}}})
    with pytest.raises(InputError, match=r"studies/tied.yaml does not exist; did you mean 'studies/tried.yaml'"):
        load(Path("studies/tied.yaml"))
    with pytest.raises(InputError, match=r"the name of a study file can only have"):
        load(Path("studies/My Study.yaml"))


@pytest.mark.slow
def test_the_repository_s_studies_are_valid_and_name_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert json.loads((ROOT / FILE).read_text(encoding="utf-8")) == schema()
    files = sorted((ROOT / "studies").glob("*.yaml"))
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith("# yaml-language-server: $schema=study.schema.json\n"), file
        jsonschema.validate(YAML(typ="safe").load(text), schema())
    assert "questions" in str(
        next(jsonschema.Draft202012Validator(schema()).iter_errors({**KNN, "questions": "?"})).message
    )


@pytest.mark.slow
def test_the_example_on_the_demo_has_a_cell_for_each_seed_and_combination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = load(Path("studies/neighbours.yaml"))
    assert len(found.arms()) == 6
    assert len({found.key(arm, seed) for arm in found.arms()[:2] for seed in (1, 2)}) == 4
