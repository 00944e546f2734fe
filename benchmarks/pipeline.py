"""What a `dvc repro` costs that has nothing to do, and how that grows with the number of source images.

Peer of the first row: a generated repository with the same stages, dependencies, parameters and numbers of files, whose
commands do nothing. That is what DVC itself needs; templates, comments and a second dvc.yaml are what ours adds. Peer
of the second: the time by which a repository of one stage grows that depends on a folder of as many files, DVC's own
check of them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from benchmarks.table import json_option, report, row

ROOT = Path(__file__).parents[1]
REPEATS = 5
FEW, MANY = 1_000, 20_000


def dvc(folder: Path, *words: str) -> str:
    """Run DVC in a folder and return what it prints; an error ends the benchmark with DVC's own words."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for name in ("PYTHONPATH", "DVC_ROOT"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, env=environment, capture_output=True)
    if done.returncode:
        raise SystemExit(f"dvc {' '.join(words)} in {folder}:\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout.decode()


def no_op_seconds(folders: dict[str, Path]) -> dict[str, float]:
    """Median seconds of a `dvc repro` with nothing to do, the repositories taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in folders}
    for repeat in range(REPEATS + 1):
        for name, folder in folders.items():
            start = time.perf_counter()
            printed = dvc(folder, "repro")
            if "Running stage" in printed:
                raise SystemExit(f"{folder}: `dvc repro` had something to do; run `make repro` first")
            if repeat:  # the first round warms DVC's and the system's caches
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(taken)) for name, taken in times.items()}


def repository(folder: Path, stages: str) -> Path:
    """A git and DVC repository with this dvc.yaml, reproduced once."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    (folder / "dvc.yaml").write_text(stages)
    dvc(folder, "repro")
    return folder


def idle(folder: Path) -> Path:
    """All stages of our dvc.lock files in one dvc.yaml; small files under the same names, commands that do nothing."""
    folder.mkdir()
    for file in (".dvcignore", "data/demo/params.yaml"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, folder / file)
    yaml = YAML(typ="safe")
    yaml.dump(yaml.load(ROOT / "params.yaml"), folder / "params.yaml")
    stages: dict[str, Any] = {}
    for home in ("data/demo", "."):
        for name, locked in yaml.load(ROOT / home / "dvc.lock")["stages"].items():
            paths = {
                kind: {os.path.normpath(f"{home}/{each['path']}"): each.get("nfiles") for each in locked.get(kind, [])}
                for kind in ("deps", "outs")
            }
            for path, count in sorted((paths["deps"] | paths["outs"]).items()):
                fill(folder / path, count)
            params = locked.get("params", {}).items()
            stages[name.replace("@", "-")] = {
                "cmd": "true",
                **{kind: list(those) for kind, those in paths.items()},
                "params": [{os.path.normpath(f"{home}/{file}"): list(keys)} for file, keys in params],
            }
    yaml.dump({"stages": stages}, folder / "dvc.yaml")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    (folder / ".gitignore").write_text("*\n!dvc.yaml\n!dvc.lock\n")  # else DVC writes more of them, into dependencies
    dvc(folder, "commit", "--quiet", "--force")
    return folder


def fill(path: Path, count: int | None) -> None:
    """A small file, or a folder of `count` of them, where there is none yet."""
    if count is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(path.name)
        return
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count - sum(file.is_file() for file in path.rglob("*"))):
        (path / f"{number}").write_text(f"{path.name} {number}")


def watcher(folder: Path, images: Path) -> Path:
    """One stage that depends on a folder of images."""
    return repository(folder, f"stages:\n  b: {{cmd: touch b, deps: ['{images}'], outs: [b]}}\n")


def draw_images(folder: Path, count: int) -> Path:
    """A csv source of `count` train images, 16×16 noise of two classes, and a validation image for each fifty."""
    rng = np.random.default_rng(count)
    for split, number in (("train", count), ("validation", count // 50)):
        (folder / split).mkdir(parents=True)
        names = [f"{split}{i:06d}" for i in range(number)]
        labels = np.arange(number) % 2
        for name, label in zip(names, labels, strict=True):
            image = rng.normal(100 + 40 * label, 40, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / split / f"{name}.png"), image)
        pd.DataFrame({"image_id": names, "label": labels}).to_csv(folder / f"{split}.csv", index=False)
    return folder


def pipeline(folder: Path, images: Path) -> Path:
    """Fakeprint's own pipeline on these images, narrowed to a quick classifier, reproduced once."""
    parts = ["src", "stages", "data", "dvc.yaml", "params.yaml", ".gitignore", ".dvcignore"]
    listed = ["git", "ls-files", "-z", *parts]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    yaml = YAML()
    params = yaml.load((folder / "params.yaml").read_text())
    params["data"].update(path=str(images), title="benchmark")
    params["prepare"]["image_size"] = 16
    params["augment"]["copies"] = 0
    params["run"].update(features=["hsv_hist"], classifiers=["knn"], networks=[], ensembles=[])
    params["classifiers"]["knn"].update(features=["hsv_hist"], k=[5], metrics=["l1"])
    params["tracking"]["enabled"] = False
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    dvc(folder, "repro")
    return folder


def main() -> None:
    json_path = json_option(__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        alone = no_op_seconds({"ours": ROOT, "idle": idle(place / "idle")})
        folders = {}
        for count in (FEW, MANY):
            images = draw_images(place / f"images{count}", count)
            folders[f"ours {count}"] = pipeline(place / f"ours{count}", images)
            folders[f"dvc {count}"] = watcher(place / f"dvc{count}", images)
        grown = no_op_seconds(folders)
    growth = {name: grown[f"{name} {MANY}"] - grown[f"{name} {FEW}"] for name in ("ours", "dvc")}
    more = f"its growth from {FEW:,} to {MANY:,} source images, against DVC's own check of them"
    rows = [
        row("no-op dvc repro, against idle stages", alone["ours"], alone["idle"], "s", "lower", 1 / 1.1),
        row(more, growth["ours"], growth["dvc"], "s", "lower", 1.0),
    ]
    report(rows, "A dvc repro that has nothing to do", json_path)


if __name__ == "__main__":
    main()
