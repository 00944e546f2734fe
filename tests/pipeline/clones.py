"""A real clone of the repository with a tiny demo, and the way to run commands in it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
OWN = str(Path(sys.executable).parent)

# Nothing of the person's own git or MLflow set-up may matter; a clone has no identity unless a test gives it one.
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "LANG": "C.UTF-8",
}
IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b.c",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b.c",
}


def clean_environment() -> dict[str, str]:
    """Of this process, without the settings of git, DVC, MLflow and Python."""
    settings = ("MLFLOW", "DVC", "GIT", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    return {key: value for key, value in os.environ.items() if not key.startswith(settings)} | ENVIRONMENT


@dataclass(frozen=True)
class Clone:
    """A clone of the repository and the way to run commands in it.

    path: folders that go before others on the PATH; the `python` there runs DVC, its stages and the package.
    """

    root: Path
    path: str = OWN

    def run(
        self, *words: str, check: bool = True, new_session: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=self.root,
            env={**clean_environment(), "PATH": f"{self.path}:{os.environ['PATH']}", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            start_new_session=new_session,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def dvc(self, *words: str, check: bool = True, **environment: str) -> str:
        return self.run("python", "-m", "dvc", *words, check=check, **environment).stdout

    def fakeprint(self, *words: str, check: bool = True) -> str:
        return self.run("python", "-m", "fakeprint", *words, check=check, PYTHONPATH="src").stdout

    def edit(self, file: str, changes: dict[str, Any]) -> None:
        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 4096
        content = yaml.load((self.root / file).read_text())
        for path, value in changes.items():
            *blocks, key = path.split(".")
            block = content
            for name in blocks:
                block = block[name]
            block[key] = value
        with (self.root / file).open("w") as stream:
            yaml.dump(content, stream)

    def json(self, file: str) -> Any:
        return json.loads((self.root / file).read_text())

    def bytes(self, file: str) -> bytes:
        return (self.root / file).read_bytes()

    def trace(self) -> None:
        """Have every process of a stage load tests/pipeline/sitecustomize.py, which git and DVC do not see."""
        shutil.copy2(ROOT / "tests/pipeline/sitecustomize.py", self.root / "src")
        with (self.root / ".git/info/exclude").open("a") as excluded:
            excluded.write("/src/sitecustomize.py\n")

    def commit(self) -> None:
        self.run("git", "add", "-A", **IDENTITY)
        self.run("git", "commit", "-qm", "state", **IDENTITY)


def ran(printed: str) -> list[str]:
    """The stages that DVC says it ran, in order."""
    lines = [line.strip() for line in printed.splitlines()]
    return [line.split("'")[1] for line in lines if line.startswith("Running stage")]


TINY = {
    "run.features": ["hsv_hist", "spectrum"],
    "run.classifiers": ["knn", "lda"],
    "run.networks": ["hist_cnn", "three_cnn"],
    "run.ensembles": ["average"],
    "prepare.image_size": 32,
    "features.spectrum.bins": 16,
    "classifiers.knn.features": ["hsv_hist"],
    "classifiers.lda.features": ["hsv_hist", "spectrum"],
    "ensembles.average.members": ["lda", "hist_cnn"],
    "robustness.grid": {"noise_2": {"noise": 2}},
    "model.width": 0.125,
    "train.epochs": 2,
    "evaluate.mistakes": 3,
    "validate.sample_images": 1,
}


def tiny_clone(root: Path, path: str = "") -> Clone:
    """What git would put in a clone (uncommitted work too), with a demo of a few dozen images and tiny networks."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    shutil.copy2(root / "presets/demo.yaml", root / "params.yaml")
    (root / "dvc.lock").unlink()  # of other stages for the most part, and DVC writes it anew after each stage, slowly
    clone = Clone(root, path or OWN)
    clone.run("git", "init", "-q", "-b", "main")
    clone.edit("data/demo/params.yaml", {"draw.train": 60, "draw.validation": 25, "draw.test": 10})
    clone.edit("params.yaml", TINY)
    clone.commit()
    return clone
