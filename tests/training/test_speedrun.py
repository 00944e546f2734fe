"""`benchmarks.speedrun` on a few small images, to a low mark."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from benchmarks.speedrun import Attempt, Speedrun, main, rows_of
from fakeprint.data.arrays import Dataset, save_dataset, save_index
from tests.samples import DEMO, index_rows


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `prepare` leaves: noise of 16 pixels per side whose red level is its class."""
    rng = np.random.default_rng(0)
    content = YAML(typ="safe").load(DEMO)
    content["train"] |= {"epochs": 8, "batch_size": 16, "lr": 0.01, "device": "cpu", "precision": "fp32"}
    content["model"]["width"] = 0.125
    del content["models"]["specialist"]
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(content, file)
    arrays = tmp_path / "data/arrays"
    arrays.mkdir(parents=True)
    save_dataset(Dataset(["a", "b"], ["a", "b"], 16, "squash", 10**6), arrays)
    for split, count in {"train": 64, "validation": 40}.items():
        labels = np.arange(count) % 2
        images = rng.integers(0, 150, (count, 16, 16, 3)).astype(np.uint8)
        images[..., 0] += (labels * 100).astype(np.uint8)[:, None, None]
        np.save(arrays / f"{split}.npy", images)
        save_index(split, index_rows(labels, ["a", "b"], split), ["a", "b"], arrays)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_runs_to_a_mark(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["three_cnn", "--mark", "80", "--runs", "2", "--json", "rows.json"])
    rows = {each["name"]: each for each in json.loads((prepared / "rows.json").read_text())}
    assert list(rows) == [
        "three_cnn to 80 %: runs that reach it",
        "three_cnn: highest accuracy",
        "three_cnn to 80 %: after warm-up",
        "three_cnn: warm-up, compilation",
        "three_cnn to 80 %: with everything",
    ]
    reached, best, after, warm_up, everything = rows.values()
    assert (reached["ours"], reached["peer"], best["peer"]) == (2, 2, 80)
    assert best["ours"] >= 80
    assert min(after["ours"], after["peer"], warm_up["ours"]) > 0
    assert everything["ours"] == pytest.approx(after["ours"] + warm_up["ours"])
    printed = capsys.readouterr().out
    assert "speedrun, cpu, fp32" in printed
    # A run ends with the first epoch that is as accurate, and the warm-up is one short epoch.
    assert printed.count("three_cnn epoch 1/1: ") == 1 and printed.count("three_cnn epoch 1/8: ") == 2
    assert "three_cnn epoch 8/8: " not in printed


@pytest.mark.slow
def test_the_warm_up_is_of_the_first_phase_alone(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one takes batches that are larger than all images of the warm-up."""
    content = YAML(typ="safe").load(prepared / "params.yaml")
    content["train"]["phases"] = [{"epochs": 1, "batch_size": 8}, {"epochs": 2, "batch_size": 32}]
    YAML().dump(content, prepared / "params.yaml")
    main(["three_cnn", "--mark", "100", "--runs", "1"])
    printed = capsys.readouterr().out
    assert printed.count("three_cnn epoch 1/1: ") == 1
    assert "three_cnn epoch 1/3: " in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["three_cnn", "--mark", "0"], "--mark is a percentage above 0, at most 100"),
        (["three_cnn", "--runs", "0"], "--runs is at least 1"),
        (["four"], "argument NETWORK: invalid choice: 'four'"),
        (["specialist"], "error: params.yaml has no block models.specialist; add `specialist: {}` to models"),
    ],
)
def test_what_it_refuses(prepared: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert message in capsys.readouterr().err


def made_up(*attempts: Attempt) -> Speedrun:
    return Speedrun("net", 0.9, warm_up=30.0, pace=2.0, attempts=attempts)


def figures(found: Speedrun, **options: Any) -> dict[str, tuple[float, float]]:
    return {each.name: (each.ours, each.peer) for each in rows_of(found, **options)}


def test_rows_by_hand() -> None:
    quick, slow = Attempt(10.0, 4, 0.91, reached=True), Attempt(14.0, 6, 0.92, reached=True)
    failed = Attempt(40.0, 20, 0.5, reached=False)
    found = figures(made_up(quick, slow, failed), on_gpu=True)
    assert found["net to 90 %: runs that reach it"] == (2, 3)
    assert found["net: highest accuracy"] == pytest.approx((91, 90))
    assert found["net to 90 %: after warm-up"] == (12, 10)  # of those that reach it: 4 and 6 epochs of two seconds
    assert found["net: warm-up, compilation"] == (30, 12)
    assert found["net to 90 %: with everything"] == (42, 10)
    assert found["net to 90 %: after warm-up, goal"] == (12, 20)
    assert found["net to 90 %: everything, goal"] == (42, 60)
    assert len(figures(made_up(quick, slow, failed), on_gpu=False)) == 5
    # Nothing is said of times that were not reached.
    assert list(figures(made_up(failed, replace(failed, accuracy=0.6)), on_gpu=True)) == [
        "net to 90 %: runs that reach it",
        "net: highest accuracy",
    ]
