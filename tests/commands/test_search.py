"""`fakeprint search` from the command line to MLflow's runs."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from fakeprint.__main__ import main
from fakeprint.data.arrays import Dataset, save_dataset, save_index
from fakeprint.data.manifest import COLUMNS, save_manifest
from fakeprint.search import feature_sets, scoring, space, trials
from tests.samples import index_rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILE = """
model: logistic
trials: 2
sampler: grid
folds: [0, 1]
fixed: {run.workers: 1, classifiers.logistic.augmented: false}
ranges:
  classifiers.logistic.C: {choices: [1.0e-5, 1.0, 2.0]}
"""


@pytest.fixture
def clone(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """params.yaml, the arrays of 40 images that colour tells apart, a search, and a database for MLflow."""
    shutil.copy2(migrated, tmp_path)
    for name in [name for name in os.environ if name.startswith(("MLFLOW", "DVC"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(scoring, "KEPT", feature_sets.FeatureSets())
    content = YAML(typ="safe").load((ROOT / "presets/demo.yaml").read_text(encoding="utf-8"))
    content["prepare"]["image_size"] = 16
    content["data"]["title"] = "two colours"
    with Path("params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(content, file)
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).integers(0, 128, (40, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, ..., 0] += 90
    save_dataset(Dataset(["a", "b"], ["a", "b"], 16, "squash", 10**6))
    np.save("data/arrays/train.npy", images)
    save_index("train", index_rows(labels, ["a", "b"], ""), ["a", "b"])
    rows = pd.DataFrame({"image_id": [str(row) for row in range(40)], "split": "train", "group": np.arange(40)})
    save_manifest(
        rows.assign(label=["ab"[x] for x in labels], **{name: 0 for name in COLUMNS if name not in {*rows, "label"}})
    )
    Path("searches").mkdir()
    Path("searches/it.yaml").write_text(FILE, encoding="utf-8")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "search", *words])
    main()


def test_table_command_line_and_runs(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "searches/it.yaml")
    run(monkeypatch, "searches/it.yaml", "--trials", "3")
    out = capsys.readouterr().out
    assert "it: continuing after 2 trials" in out
    assert "logistic on fold 0, 1 of 5 of train: two colours" in out
    assert "3 trials: 0 pruned, 0 failed" in out
    best = out.splitlines()[-1]
    assert best.startswith(
        "dvc exp run -S run.workers=1 -S classifiers.logistic.augmented=false -S classifiers.logistic.C="
    )
    assert not best.endswith("C=1e-05")

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fakeprint")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [each for each in runs if "mlflow.parentRunId" not in each.data.tags]
    children = [each for each in runs if each is not parent]
    assert parent.info.run_name == "search it"
    assert {each.info.status for each in runs} == {"FINISHED"}
    assert [each.data.tags["mlflow.parentRunId"] for each in children] == [parent.info.run_id] * 3
    assert sorted(each.info.run_name for each in children) == [f"logistic trial {number}" for number in range(3)]
    assert {each.data.params["C"] for each in children} == {"1e-05", "1.0", "2.0"}
    best_child = max(each.data.metrics["fold_accuracy"] for each in children)
    assert parent.data.metrics["best_accuracy"] == best_child
    assert {"fold/0", "fold/1"} <= set(children[0].data.metrics)
    assert not any(tag.startswith("dvc.experiment.") for each in runs for tag in each.data.tags)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["searches/ti.yaml"], "error: searches/ti.yaml does not exist; did you mean 'searches/it.yaml'?"),
        (["searches/it.yaml", "--trials", "0"], "error: --trials should be at least 1, not 0"),
    ],
)
def test_bad_input_is_one_line(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    with pytest.raises(SystemExit, match="1"):
        run(monkeypatch, *words)
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()) == ("", [line])


def test_interrupted_it_says_what_is_kept(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "run", interrupt)
    with pytest.raises(SystemExit, match="130"):
        run(monkeypatch, "searches/it.yaml")
    assert capsys.readouterr().err == "it: interrupted after 0 of 2 trials; run the same command to continue\n"


@pytest.mark.parametrize("file", sorted((ROOT / "searches").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_search_of_the_repository_loads(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.chdir(ROOT)
    plan = space.load(file.relative_to(ROOT), Path("presets/demo.yaml"))
    assert file.read_text(encoding="utf-8").startswith("# ")
    assert plan.settings({})
