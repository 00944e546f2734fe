"""What `dvc repro` runs after each kind of change: parameters, code, pixels, weights, a narrower `run`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.pipeline.clones import IDENTITY, ROOT, Clone, ran
from tests.samples import DEMO

pytestmark = pytest.mark.slow

CLASSIFIERS = ["knn", "lda"]
NETWORKS = ["hist_cnn", "three_cnn"]


def each(stage: str, items: list[str]) -> set[str]:
    return {f"{stage}@{item}" for item in items}


VALIDATE_ON = {"validate", "prepare"}
FIT, TRAIN = each("fit", CLASSIFIERS), each("train", NETWORKS)
PREDICT = each("predict", NETWORKS)
PREDICT_ALL = PREDICT | each("predict_classifiers", CLASSIFIERS)
EVALUATE = each("evaluate", NETWORKS) | each("evaluate_classifiers", CLASSIFIERS) | {"evaluate_ensembles@average"}
FEATURES = each("features", ["hsv_hist", "spectrum"])
ENSEMBLE = {"ensemble@average"}
DEGRADE, SCORE, DECIDE = {"predict_degraded"}, {"calibrate", "robustness", "compare"}, {"decide"}

# A change, and the stages that it reaches by itself: those that depend on their outputs run where these change.
CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    (
        {"seed": 8},
        {*VALIDATE_ON, "augment", *FIT, *TRAIN, *PREDICT_ALL, *ENSEMBLE, *DEGRADE, *EVALUATE, *SCORE, *DECIDE},
    ),
    ({"run.ensembles": []}, {*DEGRADE, *SCORE, "track"}),
    ({"run.classifiers": ["lda"]}, {*ENSEMBLE, *DEGRADE, *SCORE, "track"}),
    ({"data.title": "another"}, {*EVALUATE, *SCORE, *DECIDE, "track"}),
    # the champion's card says on which images and how they are found: `decide`
    ({"data.label_column": "answer"}, {"validate", *DECIDE, "submit"}),
    ({"data.per_class": 7, "data.test_fraction": 0.2, "validate.sample_images": 3}, {"validate", *DECIDE}),
    ({"data.max_pixels": 10_000}, {*VALIDATE_ON, *DECIDE}),
    ({"prepare.image_size": 48}, {"prepare", "augment", *FEATURES, *FIT}),
    ({"prepare.folds": 4}, {"prepare", *DECIDE}),
    ({"prepare.resize": "native"}, {"prepare"}),
    ({"prepare.train_crops": 2}, {*FEATURES, *FIT, *TRAIN}),
    ({"prepare.fold": 1}, {"prepare", *EVALUATE, *SCORE, *DECIDE, "track"}),
    ({"augment.copies": 2}, {"augment"}),
    ({"features.spectrum.bins": 8}, {"features@spectrum"}),
    ({"classifiers.lda.shrinkage": 0.5}, {"fit@lda"}),
    ({"model.dropout": 0.3}, TRAIN),
    ({"models.hist_cnn.bins": 8}, {"train@hist_cnn"}),
    ({"models.three_cnn.train": {"lr": 0.1}}, {"train@three_cnn"}),
    ({"train.epochs": 3, "train.seed": 8}, TRAIN),
    ({"predict.tta": "flip"}, {*PREDICT, *DEGRADE, *DECIDE, "track"}),
    ({"predict.crops": 4}, {*PREDICT_ALL, *DEGRADE, *DECIDE, "track"}),
    ({"degrade.grid": {"jpeg_60": {"jpeg": 60}}}, PREDICT_ALL),
    ({"ensembles.average.calibrate": True}, {*ENSEMBLE, *DEGRADE}),
    ({"calibrate.method": "none"}, {"calibrate"}),
    ({"calibrate.on": "fold"}, {"prepare", "calibrate"}),
    ({"robustness.grid": {}}, {*DEGRADE, "calibrate", "robustness", *DECIDE}),
    ({"evaluate.mistakes": 9}, EVALUATE),
    ({"evaluate.calibration_bins": 5}, {*EVALUATE, *SCORE, *DECIDE}),
    ({"compare.confidence": 0.9}, {*EVALUATE, *SCORE, *DECIDE}),
    ({"decide.max_error": 0.3, "decide.confidence": 0.8, "decide.set_error": 0.2}, DECIDE),
    ({"decide.consistency": True}, {*DEGRADE, "calibrate", *DECIDE}),
    ({"data.real_classes": []}, {*EVALUATE, "compare"}),
    ({"open_world.neighbours": 9, "data.unknown": {}}, set()),  # off
    ({"cross_generator.networks": [], "explain.neighbours": 5}, set()),  # off
    ({"submit.model": "lda"}, {"submit"}),
    ({"tracking.enabled": False}, {"track"}),
    ({"tracking.experiment": "another"}, {"track"}),
    # what changes no result, and what does not run
    (
        {
            **{"run.workers": 1, "run.backend": "dask"},
            **{"features.rgb_hist.bins": 4, "classifiers.forest.trees": 3, "models.vit": None},
            **{"ensembles.greedy.rounds": 3},
        },
        DEGRADE,  # depends on all of `ensembles`
    ),
]
FILES = {
    "src/fakeprint/models/networks/three_cnn.py": {"train@three_cnn", "predict@three_cnn", *DEGRADE},
    "src/fakeprint/params/features.py": {"check"},
    "src/fakeprint/tracking/session.py": set(),
    "stages/submit.py": {"submit"},
}


def plans(clone: Clone, what: str, argument: str) -> dict[str, list[str]]:
    out = clone.root.parent / f"{what}.json"
    clone.run(sys.executable, str(ROOT / "tests/pipeline/plans.py"), what, argument, str(out), **IDENTITY)
    return json.loads(out.read_text())


def test_each_parameter_reruns_the_stages_that_read_it(clone: Clone) -> None:
    cases: dict[str, Any] = {", ".join(changes): {"params": changes} for changes, _ in CHANGES}
    cases |= {path: {"file": path} for path in FILES}
    expected = {", ".join(changes): {"check", *reached} for changes, reached in CHANGES}
    expected |= FILES | {"nothing": set()}
    found = plans(clone, "params", json.dumps(cases))
    assert {name: set(stages) for name, stages in found.items()} == expected


def test_every_block_of_params_yaml_is_changed_above() -> None:
    blocks = YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))
    assert {key.split(".")[0] for changes, _ in CHANGES for key in changes} == set(blocks)


def test_one_pixel_reruns_what_sees_it(clone: Clone) -> None:
    """`validate` and `prepare` run; after them, what depends on that split's arrays is to run, and nothing else."""
    images = clone.root / "data/demo/images"
    cases = {split: sorted((images / split).iterdir())[1] for split in ("train", "validation", "test")}
    found = plans(
        clone, "pixels", json.dumps({split: str(path.relative_to(clone.root)) for split, path in cases.items()})
    )
    assert {name: set(stages) for name, stages in found.items()} == {
        "train": {*VALIDATE_ON, "augment", *FEATURES, *TRAIN, "track"},
        "validation": {*VALIDATE_ON, *FEATURES, *TRAIN, *PREDICT_ALL, *EVALUATE, *DEGRADE, *DECIDE, "track"},
        "test": {*VALIDATE_ON, *PREDICT_ALL, "track"},
    }


def test_other_bytes_in_a_weights_file_retrain_the_network_that_names_it(clone: Clone) -> None:
    found = plans(clone, "weights", "alexnet")
    assert "train@alexnet" not in found["before"]
    assert found["check"] == ["check"]
    assert set(found["after"]) - set(found["before"]) == {"train@alexnet"}
    assert not {"check", *TRAIN} & set(found["after"])


def test_a_narrower_run_reruns_no_model_and_its_lock_holds_in_a_fresh_clone(clone: Clone, tmp_path: Path) -> None:
    narrowed = {
        "run.features": ["hsv_hist"],
        "run.classifiers": ["knn"],
        "run.networks": ["hist_cnn"],
        "submit.model": "hist_cnn",
    }
    wide = clone.bytes("params.yaml")
    clone.edit("params.yaml", narrowed)
    printed = clone.dvc("repro")
    assert "data/features/spectrum was removed: it is not in `run`" in printed
    # `fit` and `submit` depend on folders that have lost files
    assert set(ran(printed)) == {"check", "fit@knn", *ENSEMBLE, *DEGRADE, *SCORE, *DECIDE, "submit"} | (
        {"evaluate_ensembles@average", "track"}
    )
    assert set(clone.json("metrics/leaderboard.json")["models"]) == {"hist_cnn", "knn", "average"}
    clone.commit()

    fresh = Clone(tmp_path / "fresh", clone.path)
    clone.run("git", "clone", "-q", str(clone.root), str(fresh.root))
    fresh.dvc("cache", "dir", "--local", str(clone.root / ".dvc/cache"))
    fresh.dvc("checkout")
    assert json.loads(fresh.dvc("status", "--json")) == {}
    assert ran(fresh.dvc("repro")) == []

    (clone.root / "params.yaml").write_bytes(wide)  # and back: what was removed comes out of DVC's cache
    clone.dvc("repro", "check")
    clone.dvc("repro", "features")
    assert (clone.root / "data/features/spectrum/train.npy").exists()
    clone.edit("params.yaml", narrowed)  # and narrow again, by a `check` that DVC has seen before
    clone.dvc("repro", "check")
    assert [path.name for path in (clone.root / "data/features").iterdir()] == ["hsv_hist"]
