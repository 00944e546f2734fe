"""After `dvc repro` beside a running API: the loaded model goes on, and nothing mixes it with the new files."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fakeprint.errors import InputError
from fakeprint.service import opened
from fakeprint.service.access import create_key
from fakeprint.service.maps import CHANGED
from fakeprint.service.opened import Reference, digest_of, open_model
from fakeprint.service.settings import Settings
from tests.service.running import app_of, encoded, files, models_folder, pictures, running

assert models_folder  # a fixture

IMAGE = encoded(pictures(1)[0][0])


@pytest.fixture
def models(tmp_path: Path, models_folder: Path) -> Path:
    """Models of its own, which a test may change."""
    shutil.copytree(models_folder, tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def client(tmp_path: Path, models: Path) -> Iterator[TestClient]:
    with running(tmp_path / "service", models, model="three_cnn") as client:
        yield client


def train_anew(models: Path) -> None:
    """Write other weights into models/three_cnn, as `dvc repro` does."""
    import torch

    from fakeprint.models import network_files

    network, description = network_files.load_network(models / "three_cnn")
    with torch.no_grad():
        for each in network.parameters():
            each *= 1.5
    network_files.save_network(models / "three_cnn", network, description)


def answered(client: TestClient) -> dict[str, Any]:
    return dict(client.post("/predict", files=files(("a.png", IMAGE)), params={"explain": True}).json())


def listed(client: TestClient, name: str = "three_cnn") -> list[dict[str, Any]]:
    return [each for each in client.get("/models").json()["models"] if each["name"] == name]


def test_models_tells_the_loaded_version_from_the_new_files(client: TestClient, models: Path) -> None:
    (before,) = listed(client)
    assert before["serves"]
    train_anew(models)
    loaded, new = listed(client)
    assert (loaded["serves"], new["serves"]) == (True, False)
    assert loaded["digest"] == before["digest"] == answered(client)["model"]["digest"]
    assert new["digest"] == digest_of(models / "three_cnn") != loaded["digest"]
    facts = ("kind", "classes", "image_size", "version", "last_activation", "backbone", "hyperparameters")
    assert {key: loaded[key] for key in facts} == {key: before[key] for key in facts}
    assert client.post("/set", json={"name": "three_cnn"}).json()["model"]["digest"] == new["digest"]
    assert [(each["serves"], each["digest"]) for each in listed(client)] == [(True, new["digest"])]


def test_a_model_whose_files_are_gone_is_listed_as_long_as_it_answers(client: TestClient, models: Path) -> None:
    (before,) = listed(client)
    shutil.rmtree(models / "three_cnn")
    (loaded,) = listed(client)
    assert (loaded["serves"], loaded["digest"]) == (True, before["digest"])
    (image,) = answered(client)["images"]
    assert (image["status"], image["map"], image["map_note"]) == ("answered", None, CHANGED)


def test_who_sees_no_jobs_sees_the_one_that_answers(tmp_path: Path, models_folder: Path) -> None:
    settings = {"model": f"job:{'a' * 32}", "require_keys": True}
    made = tmp_path / "jobs" / ("a" * 32) / "models"
    shutil.copytree(models_folder / "champion", made / "champion")
    shutil.copytree(made.parent, made.parents[1] / ("b" * 32))
    with running(tmp_path, models_folder, **settings) as client:
        headers = {"X-API-Key": create_key(app_of(client).state.engine, "app", ["predict"])}
        found = client.get("/models", headers=headers).json()["models"]
    assert [each["name"] for each in found if each["serves"] or each["name"].startswith("job:")] == [settings["model"]]


def test_no_map_of_new_weights_stands_beside_an_answer_of_old_ones(client: TestClient, models: Path) -> None:
    train_anew(models)
    (image,) = answered(client)["images"]
    line = "the model's files have changed since it was loaded; choose it with POST /set to load the new ones"
    assert (image["status"], image["map"], image["map_note"]) == ("answered", None, line)
    client.post("/set", json={"name": "three_cnn"})
    (image,) = answered(client)["images"]
    assert (image["map"] is not None, image["map_note"]) == (True, None)


def test_files_that_change_while_the_map_s_network_is_read_are_noticed(
    client: TestClient, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fakeprint.models import network_files

    load = network_files.load_network

    def changed_before(folder: Path) -> Any:
        monkeypatch.setattr(network_files, "load_network", load)
        train_anew(models)
        return load(folder)

    monkeypatch.setattr(network_files, "load_network", changed_before)
    (image,) = answered(client)["images"]
    assert (image["map"], image["map_note"]) == (None, CHANGED)


def test_maps_that_were_drawn_before_are_still_the_old_network_s(client: TestClient, models: Path) -> None:
    (before,) = answered(client)["images"]
    train_anew(models)
    (after,) = answered(client)["images"]
    assert after == before and after["map"]


@pytest.mark.slow
@pytest.mark.parametrize("change", [train_anew, lambda models: shutil.rmtree(models / "three_cnn")])
def test_files_that_change_while_they_are_loaded_are_not_mixed(
    models: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    load = opened.load_model

    def changed_after(*words: Any, **options: Any) -> Any:
        found = load(*words, **options)
        change(models)
        return found

    monkeypatch.setattr(opened, "load_model", changed_after)
    with pytest.raises(InputError) as raised:
        open_model(Reference("folder", "three_cnn"), Settings(models_folder=models))
    if change is train_anew:
        line = "the files of three_cnn changed while they were loaded; try again when `dvc repro` is done"
        assert str(raised.value) == line
    else:
        assert "\n" not in str(raised.value) and "three_cnn" in str(raised.value)
