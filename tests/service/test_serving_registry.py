"""Models of MLflow's registry: served by version and alias; predictions go on whatever becomes of MLflow."""

import asyncio
import gc
import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.files import write_json
from fakeprint.predict import load_model
from fakeprint.service import listing
from fakeprint.tracking import logged_model, registry
from fakeprint.tracking.connection import connect, import_mlflow
from fakeprint.verdict.calibration import Scaled
from fakeprint.verdict.decision import Unknown
from tests.service.running import DECISION, encoded, files, models_folder, pictures, running
from tests.tracking.conftest import bare_clone, clone, free_port

assert models_folder and bare_clone and clone  # fixtures

pytestmark = pytest.mark.slow  # MLflow takes seconds to import

IMAGES, _ = pictures(3, seed=2)
SENT = files(*((f"{number}.png", encoded(image)) for number, image in enumerate(IMAGES)))
COOL = Scaled("temperature", [0.5] * 3, [0.0] * 3)


@pytest.fixture
def registered(clone: Path, models_folder: Path) -> tuple[str, Path]:
    """The registry's address, with `ours`: version 1 the average with its calibration, version 2 (champion) lda."""
    models = clone / "models"
    shutil.rmtree(models)
    shutil.copytree(models_folder, models)
    write_json(models / "calibration" / "average.json", {"calibration": COOL.as_json()})
    import_mlflow()
    client, experiment = connect("fakeprint")
    for name, figures in (("average", {"accuracy": 0.9, "images": 250}), ("lda", {})):
        run = client.create_run(experiment, run_name=name).info.run_id
        client.log_param(run, "seed", 7)
        for key, value in figures.items():
            client.log_metric(run, key, value)
        model = logged_model.log_model(client, run, models / name, params.Predict(tta="flip"))
        assert model is not None
        logged_model.register(client, model, "ours")
    client.set_registered_model_alias("ours", "older", "1")
    return f"sqlite:///{clone / 'mlflow.db'}", models


def test_a_registered_champion_declines_as_its_folder_does(
    registered: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, models = registered
    assert DECISION.certificate is not None
    strict = replace(DECISION.certificate, threshold=0.9)
    declining = replace(DECISION, certificate=strict, unknown=Unknown("max_probability", 0.0))
    write_json(models / "champion" / "decision.json", declining.as_json())
    client, experiment = connect("fakeprint")
    run = client.create_run(experiment, run_name="average").info.run_id
    tta, decision = params.Predict(tta="flip"), models / "champion" / "decision.json"
    model = logged_model.log_model(client, run, models / "average", tta, decision)
    assert model is not None and logged_model.log_model(client, run, models / "average", tta, decision) == model
    assert logged_model.register(client, model, "ours") == "3"
    images, _ = pictures(12, seed=5)
    sent = files(*((f"{number}.png", encoded(image)) for number, image in enumerate(images)))
    with running(tmp_path / "service", models, tracking_uri=uri) as api:
        wanted = api.post("/predict", files=sent).json()
        assert {"unsure", "unknown"} <= {image["answer"] for image in wanted["images"]}
        assert api.post("/set", json={"source": "registry", "name": "ours"}).json()["model"]["version"] == "3"
        answer = api.post("/predict", files=sent).json()
        assert answer["model"]["source"] == "registry"
        assert (answer["data"], answer["certificate"]) == (wanted["data"], wanted["certificate"])
        for given, image in zip(answer["images"], wanted["images"], strict=True):
            numbers = {key: pytest.approx(image[key], abs=1e-6) for key in ("score", "probabilities")}  # batches differ
            assert given == image | numbers
        (serving,) = [each for each in api.get("/models").json()["models"] if each["serves"]]
        assert serving["certificate"] == wanted["certificate"] and serving["calibration"]["method"] == "temperature"

    import mlflow.pyfunc

    monkeypatch.setattr(sys, "path", list(sys.path))
    served = mlflow.pyfunc.load_model(str(models.parent / f"mlartifacts/models/{model}/artifacts"))
    table = served.predict(pd.DataFrame({"image": [content for _, (_, content) in sent]}))
    assert list(table) == served.metadata.signature.outputs.input_names()
    assert list(table)[-4:] == ["answer", "score", "set", "reason"]
    for row, image in zip(table.to_dict("records"), wanted["images"], strict=True):
        assert (row["answer"], row["class"], row["reason"]) == (image["answer"], image["label"], image["reason"])
        assert json.loads(row["set"]) == image["set"]
        assert row["score"] == pytest.approx(image["score"], abs=1e-6)


def test_a_registered_model_serves_and_goes_on_without_the_registry(
    registered: tuple[str, Path], tmp_path: Path
) -> None:
    uri, models = registered
    settings: dict[str, Any] = {"tracking_uri": uri}
    wanted = COOL(load_model(models / "average", tta=params.Predict(tta="flip")).probabilities(IMAGES))
    service = tmp_path / "service"
    with running(service, models, **settings) as client:
        listed = client.get("/models").json()
        assert listed["note"] is None
        ours = {each["version"]: each for each in listed["models"] if each["source"] == "registry"}
        assert {version: each["aliases"] for version, each in ours.items()} == {"1": ["older"], "2": ["champion"]}
        assert ours["1"]["accuracy"]["value"] == 0.9
        assert ours["1"]["hyperparameters"] == {"seed": "7"}

        changed = client.post("/set", json={"source": "registry", "name": "ours", "alias": "older"}).json()
        assert (changed["model"]["version"], changed["model"]["model"], changed["revision"]) == ("1", "average", 1)
        answer = client.post("/predict", files=SENT).json()
        assert answer["model"] == changed["model"]
        found = [list(each["probabilities"].values()) for each in answer["images"]]
        assert found == pytest.approx(wanted, abs=1e-6)
        serving = [each for each in client.get("/models").json()["models"] if each["serves"]]
        assert [(each["name"], each["version"], each["kind"]) for each in serving] == [("ours", "1", "ensemble")]

        by_default = client.post("/set", json={"source": "registry", "name": "ours"}).json()
        assert (by_default["model"]["version"], by_default["model"]["model"]) == ("2", "lda")
        for body, line in (
            ({"name": "ours", "version": "9"}, "the registry has no model 'ours' with version 9"),
            ({"name": "theirs"}, "the registry has no model 'theirs' with alias 'champion'"),
        ):
            refused = client.post("/set", json={"source": "registry", **body})
            assert (refused.status_code, refused.json()["detail"]) == (422, line)
        client.post("/set", json={"source": "registry", "name": "ours", "version": "1"})

    (models.parent / "mlflow.db").unlink()
    shutil.rmtree(models.parent / "mlartifacts")
    with running(service, models, **settings) as client:  # from the copy
        ready = client.get("/ready").json()
        assert (ready["model"], ready["detail"]) == (changed["model"], None)
        again = client.post("/predict", files=SENT).json()
        assert [list(each["probabilities"].values()) for each in again["images"]] == pytest.approx(wanted, abs=1e-6)


def test_a_version_that_no_run_made_is_listed_without_figures(clone: Path) -> None:
    import_mlflow()
    client, _ = connect("fakeprint")
    client.create_registered_model("theirs")
    client.create_model_version("theirs", (clone / "models/lda").as_uri())
    assert registry.listed(f"sqlite:///{clone / 'mlflow.db'}") == [registry.Registered("theirs", "1", [])]


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["nobody", "silent"])
def test_a_registry_that_is_away_stops_nothing(
    tmp_path: Path, models_folder: Path, silent: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(listing, "WAIT", 1.0)
    uri = silent if kind == "silent" else f"http://someone:secret@127.0.0.1:{free_port()}"
    with running(tmp_path, models_folder, model="lda", tracking_uri=uri) as client:
        listed = client.get("/models").json()
        assert [each["name"] for each in listed["models"]][:2] == ["champion", "average"]
        assert "registry" in listed["note"]
        assert "secret" not in listed["note"]
        assert client.post("/predict", files=SENT).status_code == 200
        refused = client.post("/set", json={"source": "registry", "name": "ours", "version": "1"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert refused.json()["detail"].startswith("the registry at http://")
        assert "secret" not in refused.text
        assert client.post("/predict", files=SENT).json()["model"]["name"] == "lda"


def test_an_error_that_comes_too_late_is_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, logged = threading.Event(), []

    def fails(uri: str) -> list[registry.Registered]:
        go_on.wait(10)
        raise InputError(f"the registry at {uri} is away")

    async def ask() -> tuple[list[registry.Registered], str | None]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context["message"]))
        models = listing.Registry("http://nobody")
        answer = await models.listed()
        go_on.set()
        while not (models._request and models._request.done()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        del models
        gc.collect()
        return answer

    monkeypatch.setattr(listing, "WAIT", 0.05)
    monkeypatch.setattr(listing, "listed", fails)
    assert asyncio.run(ask()) == ([], "the registry has not answered within 0.05 s")
    assert logged == []


def test_a_model_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    place = folder / registry.place_of("sqlite:///x", "theirs", "1")
    place.mkdir(parents=True)
    (place / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n")
    with pytest.raises(Exception, match="version 1 of 'theirs' was not logged by Fakeprint, and cannot serve"):
        registry.download("sqlite:///x", "theirs", "1", folder)


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_a_database_that_is_being_made_is_not_opened(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "mlflow.db"
    if content is not None:
        file.write_bytes(content)
    assert registry.listed(f"sqlite:///{file}") == []
    assert (file.read_bytes() if file.exists() else None) == content
