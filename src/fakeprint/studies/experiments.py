"""Cells as DVC experiments: their git references, metrics from the git tree, predictions from DVC's cache.

An experiment's name ends with its cell's key, so that a cell is found whatever commit or study it was run for.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from fakeprint.errors import InputError
from fakeprint.evaluation.predictions import CALIBRATED, Predictions, read_predictions
from fakeprint.studies.cells import DIGITS
from fakeprint.studies.figures import files_of, result_of
from fakeprint.studies.results import Cell, CellResult

REFERENCE = re.compile(rf"refs/exps/[0-9a-f]{{2}}/[0-9a-f]{{38,62}}/(?P<name>.+-(?P<key>[0-9a-f]{{{DIGITS}}}))")


def experiment_name(study: str, cell: Cell) -> str:
    """STUDY-ARM-SEED-KEY: of letters, digits and hyphens, as git and DVC allow it."""
    arm = re.sub(r"[^a-z0-9]+", "-", cell.arm.lower()).strip("-")[:32] or "arm"
    return f"{study}-{arm}-{cell.replicate}-{cell.key}"


@dataclass(frozen=True)
class Experiment:
    """A DVC experiment that a study has made."""

    reference: str
    commit: str
    name: str
    key: str


def found(root: Path) -> dict[str, list[Experiment]]:
    """The experiments of all studies by the key of their cell, those of every baseline commit."""
    listed = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    experiments: dict[str, list[Experiment]] = {}
    for line in listed.splitlines():
        reference, _, commit = line.partition(" ")
        if match := REFERENCE.fullmatch(reference):
            one = Experiment(reference, commit, match["name"], match["key"])
            experiments.setdefault(match["key"], []).append(one)
    return experiments


def git(folder: Path, *words: str) -> str:
    """What a git command prints. Raises InputError if there is no git or no repository, or it fails."""
    try:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise InputError("git is not installed; studies need it, except with --runner direct") from None
    except subprocess.CalledProcessError as error:
        raise InputError(f"git {' '.join(words[:2])} failed: {' '.join(error.stderr.split())}") from None


def result(
    root: Path, experiment: Experiment, cell: Cell, models: Sequence[str], seconds: float | None
) -> CellResult | None:
    """The result of a cell, if the experiment has complete metrics of these models."""
    digests: dict[str, str] = {}

    def predictions(model: str) -> Predictions:
        if not digests:  # dvc.lock takes longer to read than the predictions
            lock = _contents(root, experiment.commit, ["dvc.lock"]).get("dvc.lock", b"")
            digests.update(_prediction_digests(cache_folder(root), lock))
        file = _in_cache(cache_folder(root), digests.get(f"{model}.parquet", "missing"))
        if not file.exists():
            raise InputError(
                f"{experiment.name}: the predictions of {model} are not in DVC's cache; fetch them with "
                f"`dvc exp pull` or `dvc fetch`, or remove the experiment to run it again"
            )
        return read_predictions(file, "validation")

    files = _contents(root, experiment.commit, files_of(models))
    return result_of(cell, models, files.get, predictions, seconds)


def _contents(root: Path, commit: str, paths: Sequence[str]) -> dict[str, bytes]:
    """The contents of these files of a commit, without those that it does not have, by one process of git."""
    names = "".join(f"{commit}:{path}\n" for path in paths)
    printed = subprocess.run(["git", "cat-file", "--batch"], input=names.encode(), cwd=root, capture_output=True).stdout
    found, place = {}, 0
    for path in paths:
        end = printed.find(b"\n", place)
        header, place = printed[place:end].rsplit(b" ", 2), end + 1  # NAME missing, or DIGEST blob BYTES
        if end >= 0 and header[-2:-1] == [b"blob"]:
            size = int(header[-1])
            found[path] = printed[place : place + size]
            place += size + 1
    return found


def _prediction_digests(cache: Path, lock: bytes) -> dict[str, str]:
    """The digests of the files with validation predictions, by their names; none where DVC's cache lacks their list.

    lock: the experiment's dvc.lock.
    """
    outs = (YAML(typ="safe").load(lock or b"{}") or {}).get("stages", {}).get("calibrate", {}).get("outs", [])
    digest = next((out["md5"] for out in outs if out["path"] == CALIBRATED.as_posix()), None)
    if digest is None or not _in_cache(cache, digest).exists():
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(_in_cache(cache, digest).read_bytes())}


def _in_cache(cache: Path, digest: str) -> Path:
    return cache / "files" / "md5" / digest[:2] / digest[2:]


def cache_folder(root: Path) -> Path:
    """DVC's cache of this repository, as its configuration says it."""
    for name in ("config.local", "config"):
        config = ConfigParser(interpolation=None, strict=False)
        file = root / ".dvc" / name
        if file.exists():
            config.read_string("\n".join(line.strip() for line in file.read_text(encoding="utf-8").splitlines()))
        if config.has_option("cache", "dir"):
            return (root / ".dvc" / config.get("cache", "dir")).resolve()
    return root / ".dvc" / "cache"
