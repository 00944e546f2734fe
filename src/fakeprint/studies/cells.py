"""What a cell computes, as a key: the digest of its effective parameters, its data and its code.

The parameters are those that the cell's models depend on and that have an effect, with the content of the weights
files that they name. The data are what makes the demo, or the content of any other source. The code are the files
that the stages up to the figures list in dvc.yaml, at HEAD: an edit of the docs, of the service or of a network that
does not run changes no key. Versions of libraries are not part of it, as they are not of dvc.lock.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.checked import weights_digest
from fakeprint.digests import md5
from fakeprint.errors import InputError
from fakeprint.files import read_json, sha256, write_json
from fakeprint.params import Params, Run

DIGITS = 16  # of a key
# Stages after a study's figures, and `check`, which changes none: their code and parameters are not part of a key.
NOT_OF_A_CELL = (
    *("check", "compare", "decide", "open_world", "open_world_networks", "unknown", "cross_generator"),
    *("cross_generator_networks", "explain", "submit", "track"),
)
NETWORKS = "src/fakeprint/models/networks"
DIGESTS = Path(".fakeprint/studies/data")  # digests of sources outside the repository, by path


def effective(settings: Params, weights: dict[str, str] | None = None, verdicts: str | None = None) -> dict[str, Any]:
    """The parameters that a cell's figures and predictions depend on, as JSON; data by their other keys than the path.

    Where training runs (train.device), what is shown (titles, pictures) and what follows the figures are left out.

    Args:
        settings: all parameters.
        weights: digests of the files that they name, where these are another machine's; None = read here.
        verdicts: the digest of the file of verdicts, where `weights` are given.
    """
    if weights is None:
        weights, verdicts = _weights(settings), _content(settings.validate_.verdicts)
    everything = settings.model_dump(mode="json", by_alias=True)
    run = settings.run
    data = {key: value for key, value in everything["data"].items() if key not in ("path", "title", "unknown")}
    validate = {key: value for key, value in everything["validate"].items() if key not in ("sample_images", "verdicts")}
    robustness = {"grid": everything["robustness"]["grid"], "models": settings.robustness.models or run.models}
    found = {
        "seed": settings.seed,
        "data": data,
        "validate": {**validate, "verdicts": verdicts},
        "prepare": everything["prepare"],
        "augment": everything["augment"] if settings.augment.copies else {},
        "features": {name: everything["features"][name] for name in run.features},
        "classifiers": {name: everything["classifiers"][name] for name in run.classifiers},
        "networks": {name: _network(settings, name) for name in run.networks},
        "ensembles": {name: everything["ensembles"][name] for name in run.ensembles},
        "predict": everything["predict"],
        "calibrate": everything["calibrate"],
        "robustness": robustness,
        "evaluate": settings.evaluate.calibration_bins,
        "compare": settings.compare.confidence,
        "weights": weights,
    }
    if any(settings.ensembles[name].degraded for name in run.ensembles):
        found["degrade"] = everything["degrade"]
    plain: dict[str, Any] = json.loads(json.dumps(params.with_effect(found)))
    return plain


def _network(settings: Params, name: str) -> dict[str, Any]:
    own = json.loads(json.dumps(params.settings_of(settings, name, "network")))
    own["train"].pop("device")
    if "seed" in own["train"] and own["train"]["seed"] is None:
        own["train"]["seed"] = settings.seed
    return dict(own)


def _weights(settings: Params) -> dict[str, str]:
    blocks = {"models": settings.run.networks, "features": settings.run.features}
    return {
        f"{block}.{name}": weights_digest(
            getattr(getattr(getattr(settings, block), name), "weights", None), f"{block}.{name}.weights"
        )
        for block, names in blocks.items()
        for name in names
    }


def _content(verdicts: str | None) -> str | None:
    try:
        return None if verdicts is None else sha256(Path(verdicts))
    except OSError as error:
        raise InputError(f"validate.verdicts: {verdicts} cannot be read ({error.strerror})") from None


def key_of(settings: dict[str, Any], data: str, code: str) -> str:
    """The key of a cell. settings: as `effective` gives them."""
    text = json.dumps([settings, data, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


class Sources:
    """The repository's code and data, by their digests. Each is read once.

    root: the repository's root, with dvc.yaml. Without git (a copy on another machine) the files in the folder count.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._data: dict[str, str] = {}

    def key(self, settings: Params) -> str:
        """The key of the cell with these parameters."""
        return key_of(effective(settings), self.data(settings.data.path), self.code(settings.run))

    def code(self, run: Run) -> str:
        """The digest of the code that computes what `run` names."""
        wanted = set(self._listed(run))
        # stages that depend on the folder of all models still use the networks alone that run
        others = {f"{NETWORKS}/{name}.py" for name in params.Models.model_fields if name not in run.networks}
        listed = [row for row in sorted(self.files.items()) if _is_in(row[0], wanted) and row[0] not in others]
        files = [f"{name} {blob}" for name, blob in listed]
        return hashlib.sha256("\n".join(files).encode()).hexdigest()

    def _listed(self, run: Run) -> Iterator[str]:
        """Files and folders of code that stages list, and their commands' own module."""
        items = {"run.features": run.features, "run.classifiers": run.classifiers}
        items |= {"run.networks": run.networks, "run.ensembles": run.ensembles}
        for name, stage in self.stages.items():
            if name in NOT_OF_A_CELL:
                continue
            over = items[stage["foreach"].strip("${}")] if "foreach" in stage else [""]
            for dep in stage.get("do", stage)["deps"] if over else []:
                if dep.startswith(("src/", "stages/")):
                    yield from (dep.replace("${item}", item) for item in over)

    @cached_property
    def stages(self) -> dict[str, Any]:
        """The stages of dvc.yaml."""
        stages: dict[str, Any] = YAML(typ="safe").load((self.root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        return stages

    @cached_property
    def files(self) -> dict[str, str]:
        """Each file of src/, stages/ and data/demo/ by its path, and the git blob's id, at HEAD."""
        places = ("src/fakeprint", "stages", "data/demo")
        command = ["git", "ls-tree", "-r", "-z", "HEAD", "--", *places]
        try:
            listed = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            found = [path for place in places for path in sorted((self.root / place).rglob("*")) if path.is_file()]
            code = [path for path in found if "__pycache__" not in path.parts]  # as git ignores it
            return {path.relative_to(self.root).as_posix(): _blob(path) for path in code}
        rows = (line.partition("\t") for line in listed.split("\0") if line)
        return {name: about.split()[2] for about, _, name in rows}

    def data(self, path: str) -> str:
        """The digest of a source: of what makes the demo, else of the files' content, kept while they do not change."""
        if path not in self._data:
            maker = self.maker_of(path)
            self._data[path] = self._made(maker) if maker else self._content(self.root / path)
        return self._data[path]

    def alias(self, place: str, path: str) -> None:
        """Let the data at `place` count as those at `path`, of which they are a copy."""
        self._data[place] = self.data(path)

    def placed(self, path: str) -> str:
        """The path by which a clone of the repository finds a source: absolute, unless git or dvc.yaml put it there."""
        if Path(path).is_absolute() or self.maker_of(path):
            return path
        command = ["git", "ls-files", "--", path]
        listed = subprocess.run(command, cwd=self.root, capture_output=True, text=True).stdout
        return path if listed else (self.root / path).resolve().as_posix()

    def maker_of(self, path: str) -> Path | None:
        """The folder whose own dvc.yaml makes this source, relative to the root; None for a source that is given."""
        folder = Path(path).parent
        file = self.root / folder / "dvc.yaml"
        if Path(path).is_absolute() or not folder.parts or not file.exists():
            return None
        stages = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"].values()
        return folder if any(Path(path).name in stage.get("outs", []) for stage in stages) else None

    def _made(self, folder: Path) -> str:
        """Of the commands and parameters in a folder's dvc.yaml, and the code that they list."""
        read = YAML(typ="safe")
        content = read.load((self.root / folder / "params.yaml").read_text(encoding="utf-8"))
        stages = read.load((self.root / folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        deps = [os.path.normpath(folder / dep) for stage in stages.values() for dep in stage.get("deps", [])]
        code = {dep: self.files.get(Path(dep).as_posix(), "") for dep in deps}
        return hashlib.sha256(json.dumps([stages, content, code], sort_keys=True).encode()).hexdigest()

    def _content(self, source: Path) -> str:
        if not source.exists():
            raise InputError(f"data.path: {source} does not exist; give the data with --data PATH")
        listing = _listing(source)
        note = self.root / DIGESTS / f"{hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:DIGITS]}.json"
        known = read_json(note) if note.exists() else {}
        if known.get("listing") != listing:
            known = {"source": str(source), "listing": listing, "content": _digest(source)}
            write_json(note, known)
        return str(known["content"])


def _is_in(name: str, wanted: set[str]) -> bool:
    """Whether a file is listed, itself or with a folder above it."""
    return name in wanted or any(parent.as_posix() in wanted for parent in Path(name).parents)


def _blob(path: Path) -> str:
    """The id that git gives a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _walked(source: Path) -> Iterator[Path]:
    """The files of a source in the order of their names, folder by folder."""
    if source.is_file():
        yield source
        return
    for folder, folders, files in os.walk(source):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(files) if name != ".gitignore")


def _listing(source: Path) -> str:
    """Of names, sizes and times of change: equal while nothing has been written."""
    found = hashlib.sha256()
    for file in _walked(source):
        state = file.stat()
        found.update(f"{file.relative_to(source)} {state.st_size} {state.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _digest(source: Path) -> str:
    """Of names and contents: equal on every machine."""
    found = hashlib.sha256()
    for file in _walked(source):
        found.update(f"{file.relative_to(source).as_posix()} {md5(file)}\n".encode())
    return found.hexdigest()
