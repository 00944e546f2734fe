"""A study's cell by the real stages: without DVC it has the figures that `dvc repro` has."""

import json
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from fakeprint.studies.runners.direct import stages_of
from tests.pipeline.clones import ROOT, TINY, Clone

pytestmark = pytest.mark.slow
MODELS = ["knn", "three_cnn"]


def test_a_cell_without_dvc_has_the_figures_of_dvc_repro(clone: Clone, tmp_path: Path) -> None:
    baseline = {key: value for key, value in TINY.items() if not key.startswith("run.")}
    study = {"question": "?", "models": MODELS, "baseline": baseline, "seeds": [7], "vary": "all"}
    study |= {"arms": {"many": {"classifiers.knn.k": [21]}}, "path": ["many"]}
    with (clone.root / "studies/real.yaml").open("w") as file:
        YAML(typ="safe").dump(study, file)
    out = tmp_path / "out"
    printed = clone.fakeprint("study", "run", "real", "--runner", "direct", "--out", str(out))
    assert "real: 2 cells, 2 done" in printed
    assert "2 results taken in" in clone.fakeprint("study", "take", str(out))

    log = next(path for path in (out / "logs").iterdir() if "Running stage 'train@three_cnn'" in path.read_text())
    (other,) = set((out / "logs").iterdir()) - {log}
    assert "Running stage 'train@three_cnn'" not in other.read_text()  # the second arm's network is the first one's
    assert "Running stage 'fit@knn'" in other.read_text()
    folder = out / "results" / log.stem
    for model in MODELS:
        assert json.loads((folder / f"metrics/{model}/evaluate.json").read_text()) == clone.json(
            f"metrics/{model}/evaluate.json"
        )
        name = f"data/calibrated/{model}.parquet"
        pd.testing.assert_frame_equal(pd.read_parquet(folder / name), pd.read_parquet(clone.root / name))
    assert (folder / "metrics/three_cnn/history.csv").read_bytes() == clone.bytes("metrics/three_cnn/history.csv")
    degraded = json.loads((folder / "metrics/robustness.json").read_text())["models"]
    reproduced = clone.json("metrics/robustness.json")["models"]
    for model in MODELS:  # the study has the whole grid of the preset: a mapping is merged into the preset's
        for cell in ("clean", "noise_2"):
            assert degraded[model][cell] == reproduced[model][cell]


def test_every_input_of_a_stage_is_made_before_it() -> None:
    """In the order in which cells run without DVC, whatever the order of dvc.yaml is."""
    read = YAML(typ="safe")
    described = read.load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    content = read.load((ROOT / "presets/demo.yaml").read_text(encoding="utf-8"))
    found = stages_of(dict(reversed(described.items())), content)
    assert {stage.name.partition("@")[0] for stage in found} >= {"check", "train", "fit", "calibrate", "robustness"}
    made: set[str] = set()
    for stage in found:
        needed = [dep for dep in stage.deps if dep.startswith(("data/", "models/", "metrics/"))]
        for dep in needed:
            given = dep in ("data/verdicts", "data/weights", "data/demo/images")
            assert given or any(f"{out}/".startswith(f"{dep}/") or f"{dep}/".startswith(f"{out}/") for out in made), dep
        made |= set(stage.outs)
