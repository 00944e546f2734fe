"""Models of MLflow's registry, as files: found by name and version or alias, and copied. None of their code is run."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakeprint.errors import InputError
from fakeprint.files import read_json, written_folder
from fakeprint.params import Predict
from fakeprint.tracking.connection import get_or_none, import_mlflow, masked

MOST = 100  # registered models that are listed, the latest versions of each
# A server that is away must be noticed soon: a request waits for it.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


class Unreachable(InputError):
    """The registry does not answer."""


@dataclass(frozen=True)
class Registered:
    """A version of a registered model. figures, parameters: of its run."""

    name: str
    version: str
    aliases: list[str]
    figures: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Saved:
    """A version's files.

    model: its folder. decision, calibration: their files, or None; one that was champion has a decision.
    predict: its test-time augmentation.
    """

    model: Path
    decision: Path | None
    calibration: Path | None
    predict: Predict


def is_there(uri: str) -> bool:
    """Whether there can be a registry. A server is believed to be there; a file of this machine must be complete.

    A database that another process is making must not be opened: MLflow would make its tables a second time. It has an
    experiment as soon as it has all tables.
    """
    if not uri.startswith("sqlite:///"):
        return True
    file = Path(uri.removeprefix("sqlite:///"))
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return False


def listed(uri: str) -> list[Registered]:
    """The registered models, the newest version of each and all versions that have an alias.

    Raises:
        Unreachable: it does not answer.
    """
    if not is_there(uri):
        return []
    found = []
    with _asked(uri) as client:
        for model in client.search_registered_models(max_results=MOST):
            aliases: dict[str, list[str]] = {}
            for alias, version in (model.aliases or {}).items():
                aliases.setdefault(str(version), []).append(str(alias))
            newest = max((int(each.version) for each in model.latest_versions or []), default=None)
            for version in sorted({*aliases, *([str(newest)] if newest else [])}, key=int):
                found.append(_registered(client, model.name, version, sorted(aliases.get(version, []))))
    return found


def resolve(uri: str, name: str, version: str | None, alias: str | None) -> str:
    """The version that a version or an alias names.

    Raises:
        InputError: there is none, or (`Unreachable`) the registry does not answer.
    """
    if not is_there(uri):
        raise InputError(f"there is no registry at {masked(uri)}: no model is registered yet")
    alias = alias or "champion"
    with _asked(uri) as client:
        if version is not None:
            found = get_or_none(client.get_model_version, name, version)
        else:
            found = get_or_none(client.get_model_version_by_alias, name, alias)
    if found is None:
        wanted = f"version {version}" if version is not None else f"alias '{alias}'"
        raise InputError(f"the registry has no model '{name}' with {wanted}")
    return str(found.version)


def download(uri: str, name: str, version: str, into: Path) -> Saved:
    """Copy a version into a folder below `into`, unless it is there.

    Raises:
        InputError: the model is not one of Fakeprint's, or (`Unreachable`) the registry does not answer.
    """
    target = into / place_of(uri, name, version)
    if not target.exists():
        _copy(uri, name, version, target)
    try:
        return _saved(target)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"version {version} of '{name}' was not logged by Fakeprint, and cannot serve") from None


def place_of(uri: str, name: str, version: str) -> str:
    """The name of a version's copy: names of models may hold anything, and are no paths."""
    return hashlib.sha256(json.dumps([uri, name, version]).encode()).hexdigest()[:32]


def _copy(uri: str, name: str, version: str, target: Path) -> None:
    with _asked(uri) as client, tempfile.TemporaryDirectory() as temporary:
        from mlflow.artifacts import download_artifacts

        source = client.get_model_version_download_uri(name, version)
        found = download_artifacts(source, dst_path=temporary, tracking_uri=uri, registry_uri=uri)
        with written_folder(target) as partial:
            shutil.copytree(found, partial, dirs_exist_ok=True)


def _saved(folder: Path) -> Saved:
    """What `tracking.logged_model` has logged. Its names are used as names below `artifacts` alone, never as paths."""
    from ruamel.yaml import YAML

    content = YAML(typ="safe", pure=True).load((folder / "MLmodel").read_text(encoding="utf-8"))
    flavor = content["flavors"]["python_function"]
    parts = {key: folder / "artifacts" / Path(str(value["path"])).name for key, value in flavor["artifacts"].items()}
    if not (parts["model"] / "model.json").is_file():
        raise ValueError("no model.json")
    read_json(parts["model"] / "model.json")
    predict = Predict(**flavor["config"]["predict"])
    return Saved(parts["model"], parts.get("decision"), parts.get("calibration"), predict)


def _registered(client: Any, name: str, version: str, aliases: list[str]) -> Registered:
    """With its run's figures, where it was made from a run and that is still there."""
    found = get_or_none(client.get_model_version, name, version)
    run = get_or_none(client.get_run, found.run_id) if found and found.run_id else None
    if run is None:
        return Registered(name, version, aliases)
    return Registered(name, version, aliases, dict(run.data.metrics), dict(run.data.params))


@contextlib.contextmanager
def _asked(uri: str) -> Iterator[Any]:
    """A client of the registry. What fails inside is raised as `Unreachable`."""
    for key, value in IMPATIENT.items():
        os.environ.setdefault(key, value)
    import_mlflow()
    from mlflow import MlflowClient

    try:
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except Exception as error:
        reason = re.sub(r"\s+", " ", masked(str(error)))[:200]
        raise Unreachable(f"the registry at {masked(uri)} does not answer: {reason}") from None
