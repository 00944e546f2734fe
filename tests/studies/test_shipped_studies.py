"""Every file in studies/: its arms are parameters, at demo scale and of the system's preset, and each trains a step."""

import argparse
import json
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakeprint import params
from fakeprint.commands import study
from fakeprint.data.arrays import Dataset
from fakeprint.features import extract
from fakeprint.models.classifiers import fitting as classifier_fitting
from fakeprint.models.ensembles import fitting as ensemble_fitting
from fakeprint.models.networks import NETWORKS
from fakeprint.params import Params
from fakeprint.studies.plan import Options, Plan, load
from fakeprint.studies.study import BASELINE
from fakeprint.training.device import Execution
from fakeprint.training.images import Images
from fakeprint.training.inputs import TrainingData
from fakeprint.training.loop import train
from fakeprint.training.start import start

FILES = sorted(Path("studies").glob("*.yaml"))
DOCS = (Path("docs/experiments.md"), Path("docs/studies.md"))
CLASSES = ["a", "b", "c", "d", "e"]
STEP = {"epochs": 1, "warmup": 0.0, "batch_size": 10, "swa": 0.0, "device": "cpu", "precision": "fp32"}


@cache
def demo(file: Path) -> Plan:
    return load(file)


def system(file: Path) -> str:
    """The preset that the file's second line names for full scale; the demo's own examples name none."""
    line = file.read_text(encoding="utf-8").splitlines()[1]
    return line.partition("--preset ")[2].partition(" ")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_fits_the_demo_and_the_preset_of_its_system(file: Path, tmp_path: Path) -> None:
    plan = demo(file)
    assert len(plan.arms()) > 1 and plan.study.question.endswith("?")
    if preset := system(file):
        full = load(file, Options(preset=preset, data=str(tmp_path)))
        assert [arm.name for arm in full.arms()] == [arm.name for arm in plan.arms()]
    if file.stem[1] == "_":
        assert plan.study.published and preset


def test_the_docs_list_every_study() -> None:
    text = Path("docs/experiments.md").read_text(encoding="utf-8").partition("## The systems' named studies")[2]
    rows = [line.split("`")[1] for line in text.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    assert sorted(rows) == [file.stem for file in FILES if file.stem != "neighbours"]


def test_the_commands_of_the_docs_name_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `fakeprint study` line is read by the command's own parser; its study and its arm exist."""
    parser = argparse.ArgumentParser()
    study.add_parser(parser.add_subparsers())
    lines = [line for page in DOCS for line in page.read_text(encoding="utf-8").splitlines()]
    words = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fakeprint study ")]
    given = [parser.parse_args(each) for each in words if each[2] not in ("NAME", "FOLDER")]
    assert len(given) > 10
    for args in given:
        file = Path("studies") / f"{args.study}.yaml"
        arms = {*(arm.name for arm in demo(file).arms()), *demo(file).merged}
        assert getattr(args, "arm", BASELINE) in arms


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_arm_trains_a_step(file: Path, tmp_path: Path) -> None:
    """On ten images: each network one step, each classifier and each ensemble one fit; equal settings once.

    The networks of libraries, which are large, take it in one arm.
    """
    plan, seen = demo(file), set()
    for arm in plan.arms():
        settings = shortened(plan.content(arm, plan.replicates[0]))
        for name in settings.run.models:
            kind = next(
                kind for kind in ("networks", "classifiers", "ensembles") if name in getattr(settings.run, kind)
            )
            own = json.dumps(params.settings_of(settings, name, kind[:-1]), sort_keys=True, default=str)
            if name in NETWORKS and not NETWORKS[name].own_layers:
                own = ""
            if (name, own) not in seen:
                seen.add((name, own))
                ONE_STEP[kind](settings, name, tmp_path)
    assert seen


def shortened(content: dict[str, Any]) -> Params:
    """The arm's parameters with the least training, narrow networks and no pretrained weights."""
    content["train"].update(STEP, freeze=min(content["train"]["freeze"], 1))
    content["model"]["width"] = 0.125
    content["models"]["backbone"]["weights"] = None
    for overrides in [*content["train"]["phases"], *(network["train"] for network in content["models"].values())]:
        for key in STEP:
            overrides.pop(key, None)
    for ensemble in content["ensembles"].values():
        if ensemble["method"] == "learned":
            ensemble["epochs"] = 1
    return params.parse(content)


def pictures(settings: Params, count: int) -> tuple[np.ndarray, np.ndarray]:
    side = settings.prepare.image_size
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8), np.arange(count) % 5


def network_step(settings: Params, name: str, folder: Path) -> None:
    pixels, labels = pictures(settings, 10)
    images = Images([pixels], labels)
    data = TrainingData(images, images, Dataset(CLASSES, CLASSES, settings.prepare.image_size, "squash", 10**6))
    execution = Execution("cpu", bf16=False)
    run, checkpoint = start(settings.network(name), data, settings.training_seed(name), execution, folder)
    train(run, data, checkpoint, lambda figures, epoch: None)
    assert len(run.history.rows) == len(settings.network(name).train.in_phases())
    assert np.isfinite(run.history.rows[-1]["train_loss"])


@cache
def features(name: str, options: str, pixels: bytes) -> np.ndarray:
    side = round((len(pixels) / 180) ** 0.5)
    return extract(name, json.loads(options), np.frombuffer(pixels, np.uint8).reshape(60, side, side, 3))


def classifier_step(settings: Params, name: str, folder: Path) -> None:
    pixels, labels = pictures(settings, 60)
    block = settings.classifiers[name]
    options = settings.features.model_dump()
    x = np.concatenate([features(each, json.dumps(options[each]), pixels.tobytes()) for each in block.features], axis=1)
    model = classifier_fitting.fit(block, x, labels, x, labels, 0, 1, None, CLASSES)
    assert model.predict_proba(x[:3]).shape == (3, 5)


def ensemble_step(settings: Params, name: str, folder: Path) -> None:
    block = settings.ensembles[name]
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), (50, len(block.members)))
    weights = [1.0] * len(block.members)
    combined = ensemble_fitting.fit(name, block, weights, probabilities, np.arange(50) % 5, np.arange(50), 0)(
        probabilities
    )
    assert combined.shape == (50, 5)
    np.testing.assert_allclose(combined.sum(axis=1), 1, atol=1e-5)


ONE_STEP = {"networks": network_step, "classifiers": classifier_step, "ensembles": ensemble_step}
