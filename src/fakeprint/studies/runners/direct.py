"""Cells as plain modules, `python -m stages.NAME`, in work folders: where there is neither DVC nor MLflow.

Each of `jobs` work folders holds one cell at a time. A stage does not run where its command, its code, its parameters
and all that it depends on are as in the folder's last cell. Results go to OUT/results/KEY, for `study take OUT`.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.digests import md5
from fakeprint.errors import InputError
from fakeprint.files import read_json, remove, write_json, written
from fakeprint.presets import merge
from fakeprint.studies.cells import NOT_OF_A_CELL, Sources, effective
from fakeprint.studies.runners import Ended, Job
from fakeprint.studies.runners.failures import failure_of
from fakeprint.studies.runners.processes import TiedProcess, environment
from fakeprint.studies.store import Failure
from fakeprint.studies.taken import RESULTS, write_result

CHECK = "check"  # always runs: its outputs are digests, by which the others depend on it
DONE = ".stages.json"  # of a work folder: each stage's signature, once it has run


@dataclass(frozen=True, eq=False)  # two are never the same, so that they can be keys
class Stage:
    """One stage of dvc.yaml, each model's on its own. params: the values that it reads, by key."""

    name: str
    module: list[str]
    deps: list[str]
    outs: list[str]
    params: dict[str, Any]


def stages_of(described: dict[str, Any], content: dict[str, Any]) -> list[Stage]:
    """The stages up to a cell's figures, each after those whose outputs it depends on.

    Args:
        described: `stages` of dvc.yaml.
        content: params.yaml.
    """
    found = []
    for name, described_stage in described.items():
        if name in NOT_OF_A_CELL and name != CHECK:
            continue
        inner = described_stage.get("do", described_stage)
        over = _value(content, described_stage["foreach"].strip("${}")) if "foreach" in described_stage else [None]
        for item in over or []:
            found.append(_stage(name if item is None else f"{name}@{item}", inner, item, content))
    before = {stage: [each for each in found if each != stage and _feeds(each, stage)] for stage in found}
    return list(TopologicalSorter(before).static_order())


def _feeds(one: Stage, other: Stage) -> bool:
    return any(_overlap(out, dep) for out in one.outs for dep in other.deps)


def _stage(name: str, described: dict[str, Any], item: str | None, content: dict[str, Any]) -> Stage:
    def filled(text: str) -> str:
        return text.replace("${item}", str(item)).replace("${data.path}", str(content["data"]["path"]))

    listed = [described.get(kind, []) for kind in ("outs", "metrics", "plots")]
    outs = [next(iter(out)) if isinstance(out, dict) else out for outs in listed for out in outs]
    keys = [filled(key) for key in described.get("params", [])]
    return Stage(
        name,
        filled(described["cmd"]).split(" python -m ", 1)[1].split(),
        [filled(dep) for dep in described["deps"]],
        [filled(out) for out in outs],
        {key: _value(content, key) for key in keys},
    )


def _value(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


class WorkFolder:
    """Runs the stages of one cell after the other, in one folder.

    Args:
        folder: the work folder.
        sources: the repository's code and data.
        out: where the results go.
        models: of the study.
    """

    def __init__(self, folder: Path, sources: Sources, out: Path, models: Sequence[str]) -> None:
        self.folder, self._sources, self._out, self._models = folder, sources, out, list(models)
        paths = os.pathsep.join([str(sources.root / "src"), str(sources.root)])
        self._variables = environment({"PYTHONPATH": paths})
        self._steps: Iterator[TiedProcess] | None = None
        self.process: TiedProcess | None = None
        self.job: Job | None = None
        self._seconds = 0.0

    def start(self, job: Job, log: Path) -> None:
        """Begin a cell."""
        self.job, self._seconds = job, 0.0
        self.folder.mkdir(parents=True, exist_ok=True)
        for given in ("data/weights", "data/verdicts"):
            link = self.folder / given
            link.parent.mkdir(exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(self._sources.root / given, target_is_directory=True)
        with written(self.folder / "params.yaml") as partial:
            partial.write_text(job.text, encoding="utf-8")
        self._steps = self._run(log)
        self._next()

    def poll(self) -> Ended | None:
        """How the cell has ended; None while it runs."""
        if self.job is None:
            return None
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return None
            process, self.process = self.process, None
            self._seconds += process.seconds
            process.end()
            if status != 0:
                return self._ended(failure_of(status, process.log, process.begin))
            self._next()
        return self._ended(None) if self.process is None else None

    def _next(self) -> None:
        self.process = next(self._steps, None) if self._steps else None

    def _ended(self, failure: Failure | None) -> Ended:
        assert self.job is not None
        job, self.job, self._steps = self.job, None, None
        if failure is None:
            self._keep(job)
        return Ended(job, self._seconds, failure)

    def _run(self, log: Path) -> Iterator[TiedProcess]:
        """Start each stage that has to run, when the one before it has ended well."""
        content = YAML(typ="safe").load((self.folder / "params.yaml").read_text(encoding="utf-8"))
        signatures: dict[str, str] = {}
        makers: dict[str, str] = {}
        note = self.folder / DONE
        done = dict(read_json(note)) if note.exists() else {}
        for stage in stages_of(self._sources.stages, content):
            signature = self._signature(stage, content, signatures, makers)
            whole = all((self.folder / out).exists() for out in stage.outs)
            if stage.name == CHECK or done.get(stage.name) != signature or not whole:
                done.pop(stage.name, None)
                write_json(note, done)
                log.parent.mkdir(parents=True, exist_ok=True)
                with log.open("a", encoding="utf-8") as file:
                    file.write(f"Running stage '{stage.name}':\n")
                yield TiedProcess(stage.module, self.folder, log, self._variables)
                done[stage.name] = signature
                write_json(note, done)
            signatures[stage.name] = signature
            makers |= dict.fromkeys(stage.outs, stage.name)

    def _signature(
        self, stage: Stage, content: dict[str, Any], signatures: dict[str, str], makers: dict[str, str]
    ) -> str:
        """Of the stage's command, code, parameters and dependencies: these by their makers' signatures."""
        inputs: dict[str, Any] = {}
        for dep in stage.deps:
            if dep == str(content["data"]["path"]):
                inputs[dep] = content["data"]["path"], self._sources.data(dep)
            elif dep.startswith("data/checked/"):
                inputs[dep] = md5(self.folder / dep) if (self.folder / dep).exists() else None
            elif made := {maker for out, maker in makers.items() if _overlap(out, dep)}:
                inputs[dep] = sorted((maker, signatures[maker]) for maker in made)
            else:
                inputs[dep] = [row for row in self._sources.files.items() if _overlap(dep, row[0])]
        text = json.dumps([stage.module, stage.params, inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _keep(self, job: Job) -> None:
        settings = params.load(self.folder / "params.yaml")
        about = {
            "key": job.cell.key,
            "arm": job.cell.arm,
            "replicate": job.cell.replicate,
            "models": self._models,
            "seconds": round(self._seconds, 1),
            "effective": effective(settings),
            "data": self._sources.data(settings.data.path),
            "code": self._sources.code(settings.run),
        }
        write_result(self.folder, self._out / RESULTS / job.cell.key, about, self._models)

    def end(self) -> None:
        """Kill what runs."""
        if self.process is not None:
            self.process.end()
        self.process = self.job = self._steps = None


def _overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return one == other or other.startswith(f"{one}/") or one.startswith(f"{other}/")


class DirectRunner:
    """Runs cells in work folders OUT/work-N."""

    def __init__(self, sources: Sources, models: Sequence[str], jobs: int, out: Path) -> None:
        self.jobs, self.out, self._sources = jobs, out, sources
        names = [f"work-{number}" for number in range(1, jobs + 1)]
        self._folders = [WorkFolder(out / name, sources, out, models) for name in names]

    def start(self, job: Job) -> None:
        """Begin a cell in a work folder that is free."""
        folder = next(folder for folder in self._folders if folder.job is None)
        folder.start(self._placed(job), self.out / "logs" / f"{job.cell.key}.log")

    def _placed(self, job: Job) -> Job:
        """The job with the data by an absolute path, and without tracking."""
        yaml = YAML(typ="safe")
        content = yaml.load(job.text)
        path = content["data"]["path"]
        maker = self._sources.maker_of(path)
        place = self._made(path, maker) if maker else (self._sources.root / path).resolve()
        self._sources.alias(str(place), path)
        merge(content, {"data": {"path": str(place)}, "tracking": {"enabled": False}})
        return Job(job.cell, job.name, json.dumps(content))

    def _made(self, path: str, maker: Path) -> Path:
        """The demo's images, drawn once in OUT as its own dvc.yaml says."""
        place = self.out / maker
        digest, note = self._sources.data(path), self.out / maker / "drawn"
        if not note.exists() or note.read_text() != digest:
            remove(place)
            place.mkdir(parents=True)
            for name in ("params.yaml", "dvc.yaml"):
                (place / name).write_bytes((self._sources.root / maker / name).read_bytes())
            described = YAML(typ="safe").load((place / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
            for stage in described.values():
                words = stage["cmd"].split(" python -m ", 1)[1].split()
                variables = environment({"PYTHONPATH": str(self._sources.root / "src")})
                done = subprocess.run([sys.executable, "-m", *words], cwd=place, env=variables, check=False)
                if done.returncode:
                    raise InputError(f"{maker}: `{stage['cmd']}` failed; its output is above")
            note.write_text(digest)
        return (place / Path(path).name).resolve()

    def poll(self) -> list[Ended]:
        """The cells that have ended; their results are in OUT then."""
        return [ended for folder in self._folders if (ended := folder.poll())]

    def stop(self) -> None:
        """Kill what runs."""
        for folder in self._folders:
            folder.end()
