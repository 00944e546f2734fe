"""A workplace with arrays, a classifier, a network, an ensemble of both and their predictions."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.data.arrays import Dataset, save_dataset, save_index
from fakeprint.evaluation.champion import copy_out
from fakeprint.evaluation.predictions import CALIBRATED, save_predictions
from fakeprint.features import extract_sets, write_features
from fakeprint.files import write_json
from fakeprint.models import networks
from fakeprint.models.classifiers.files import FittedClassifier, describe, save_classifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.models.ensembles.combinations import WeightedAverage, save_ensemble
from fakeprint.models.network_files import save_network
from fakeprint.predict import load_model
from tests.samples import DEMO, index_rows, predictions

SIDE = 32
HOSTILE = "<script>alert(1)</script>"
CLASSES = ["a", "b", HOSTILE]
SETS = {"hsv_hist": {"bins": 4}, "spectrum": {"bins": 6}}
SWAPPED = [4, 11]  # validation images with a wrong label


def pictures_of(labels: np.ndarray, seed: int) -> np.ndarray:
    images = np.random.default_rng(seed).integers(0, 150, (len(labels), SIDE, SIDE, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, :, label % 3] += 100
    return images


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `workplace` copies."""
    import torch

    root = tmp_path_factory.mktemp("explain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        dataset = Dataset(CLASSES, CLASSES, SIDE, "squash", 10**6)
        save_dataset(dataset)
        labels = {"train": np.arange(60) % 3, "validation": np.arange(30) % 3}
        images = {split: pictures_of(each, seed) for seed, (split, each) in enumerate(labels.items())}
        labels["validation"][SWAPPED] = (labels["validation"][SWAPPED] + 1) % 3
        for split, each in labels.items():
            np.save(f"data/arrays/{split}.npy", images[split])
            save_index(split, index_rows(each, CLASSES, split[0]), CLASSES)
        for name, options in SETS.items():
            write_features(name, options, {part: images[part] for part in images}, 1)

        settings = params.LDA(method="lda", features=list(SETS), scale="sqrt", augmented=False, shrinkage=0.5)
        x = extract_sets(SETS, images["train"])
        model = fit(settings, x, labels["train"], x, labels["train"], seed=1)
        Path("models/lda").mkdir(parents=True)
        description = describe("lda", settings, model, SETS, asdict(dataset))
        save_classifier(Path("models/lda"), FittedClassifier(model, description))

        torch.manual_seed(0)
        design = networks.Design(3, SIDE, width=0.1)
        Path("models/trace_net").mkdir()
        network = networks.build("trace_net", design, {}).eval()
        about = {"name": "trace_net", "dataset": asdict(dataset), "design": asdict(design), "options": {}}
        save_network(Path("models/trace_net"), network, about)

        Path("models/average").mkdir()
        about = {"name": "average", "method": "average", "members": ["lda", "trace_net"], "dataset": asdict(dataset)}
        save_ensemble(Path("models/average"), about, WeightedAverage([0.7, 0.3], [1.0, 1.0]))
        for name in ("lda", "trace_net", "average"):
            probabilities = load_model(Path("models") / name, workers=1).probabilities(images["validation"])
            found = predictions(labels["validation"], probabilities)
            save_predictions(name, CLASSES, {"validation": found}, CALIBRATED)
            calibration = {"method": "temperature", "scale": [1.0] * 3, "bias": [0.0] * 3}
            write_json(
                f"models/calibration/{name}.json", {"calibration": calibration, "on": "validation", "images": 30}
            )
        copy_out("average", "hand-made", params.Predict())
        _write_params()
    return root


def _write_params() -> None:
    content = YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))
    content["run"] |= {
        "features": list(SETS),
        "classifiers": ["lda"],
        "networks": ["trace_net"],
        "ensembles": ["average"],
        "workers": 1,
    }
    content["classifiers"]["lda"] |= {"features": list(SETS), "augmented": False, "shrinkage": 0.5}
    content["ensembles"]["average"]["members"] = ["lda", "trace_net"]
    content["data"]["title"] = "hand-made"
    content["explain"]["models"] = ["lda", "trace_net", "average"]
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)


@pytest.fixture
def workplace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, which is the working directory."""
    root = tmp_path / "workplace"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return root


def content_of(page: Path) -> dict[str, object]:
    """The data in a page: head, data (the items) and train."""
    text = page.read_text(encoding="utf-8")
    found = {}
    for key in ("head", "data", "train"):
        _, _, rest = text.partition(f'<script type="application/json" id="{key}">')
        found[key] = json.loads(rest.partition("</script>")[0])
    return found
