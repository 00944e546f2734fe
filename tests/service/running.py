"""Small models of every kind, and the API running on them in this process."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from fakeprint import params
from fakeprint.data.arrays import Dataset
from fakeprint.evaluation.champion import copy_out
from fakeprint.features import extract
from fakeprint.models.classifiers.files import FittedClassifier, describe, save_classifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.models.ensembles.combinations import WeightedAverage, save_ensemble
from fakeprint.service.api import create_app
from fakeprint.service.settings import Settings
from fakeprint.verdict.calibration import Scaled
from fakeprint.verdict.certificate import Certificate
from fakeprint.verdict.conformal import ConformalSets
from fakeprint.verdict.decision import Decision

SIZE = 40
DATASET = Dataset(["0", "1", "2"], ["red", "green", "blue"], image_size=SIZE, resize="squash", max_pixels=10**6)
LDA = params.LDA(method="lda", features=["rgb_hist"], scale="sqrt", augmented=False, shrinkage=0.5)
BINS = {"rgb_hist": {"bins": 3}}
DECISION = Decision(
    Scaled("temperature", [0.5] * 3, [0.0] * 3),
    Certificate(0.6, 900, 600, 5, 0.0174, 0.02, 0.95),
    ConformalSets([0.2, 0.3, 0.1], 0.1, [50, 50, 50]),
    consistency=True,
    fitted_on={"data": "test pictures"},
)


def pictures(count: int, seed: int = 0, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Noise, brighter in the channel of its class, and the classes."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(seed).integers(0, 180, (count, size, size, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels] += 40
    return images, labels


def encoded(image: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    content = BytesIO()
    Image.fromarray(image).save(content, form, **options)
    return content.getvalue()


def save_lda(folder: Path, dataset: Dataset, name: str, seed: int = 0) -> None:
    images, labels = pictures(30, seed, dataset.image_size)
    x = extract("rgb_hist", BINS["rgb_hist"], images)
    model = fit(LDA, x, labels, x, labels, seed=1, workers=1)
    folder.mkdir(parents=True)
    save_classifier(folder, FittedClassifier(model, describe(name, LDA, model, BINS, asdict(dataset))))


def save_network(root: Path) -> None:
    import torch

    from fakeprint.models import network_files, networks

    torch.manual_seed(0)
    design = networks.Design(3, SIZE, width=0.25)
    (root / "three_cnn").mkdir()
    described = {"name": "three_cnn", "dataset": asdict(DATASET), "design": asdict(design), "options": {}}
    network_files.save_network(root / "three_cnn", networks.build("three_cnn", design, {}), described)


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lda, native (which takes crops), three_cnn, average of lda and three_cnn, and the champion: average."""
    root = tmp_path_factory.mktemp("served") / "models"
    save_lda(root / "lda", DATASET, "lda")
    save_lda(root / "native", replace(DATASET, image_size=16, resize="native", small="mirror"), "native", seed=1)
    save_network(root)
    (root / "average").mkdir()
    ensemble = {"name": "average", "method": "average", "dataset": asdict(DATASET), "members": ["lda", "three_cnn"]}
    save_ensemble(root / "average", ensemble, WeightedAverage([0.5, 0.5], [1.0, 2.0]))
    copy_out("average", "test pictures", params.Predict(tta="flip"), root, DECISION.as_json())
    return root


@contextlib.contextmanager
def running(folder: Path, models: Path, is_ready: bool = True, **settings: Any) -> Iterator[TestClient]:
    """The API on a folder of its own; with `is_ready` when it can answer."""
    app = create_app(Settings(**{"folder": folder, "models_folder": models, "rate": "100000/minute", **settings}))
    with TestClient(app, raise_server_exceptions=False) as client:
        if is_ready:
            until_ready(client)
        yield client


@contextlib.contextmanager
def listening(folder: Path, models: Path, **settings: Any) -> Iterator[str]:
    """The API on a port of this machine, in a thread: its address."""
    chosen = {"folder": folder, "models_folder": models, "rate": "100000/minute", **settings}
    server = uvicorn.Server(uvicorn.Config(create_app(Settings(**chosen)), log_config=None, access_log=False))
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # as `fakeprint serve` has it
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            until = time.monotonic() + 60
            while httpx.get(f"{url}/ready").status_code != 200:
                assert time.monotonic() < until
                time.sleep(0.05)
            yield url
        finally:
            server.should_exit = True
            thread.join()


def until_ready(client: TestClient) -> None:
    until = time.monotonic() + 60
    while client.get("/ready").status_code != 200:
        assert time.monotonic() < until, client.get("/ready").json()
        time.sleep(0.02)


def app_of(client: TestClient) -> FastAPI:
    app = client.app
    assert isinstance(app, FastAPI)
    return app


def files(*images: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", image) for image in images]


@pytest.fixture(scope="session")
def client(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The API with the champion. Tests that change what serves start one of their own."""
    with running(tmp_path_factory.mktemp("service"), models_folder) as client:
        yield client
