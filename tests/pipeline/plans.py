"""What would `dvc repro` run after a change? Many changes in one process, for DVC takes seconds to start.

    python plans.py params CASES OUT    # CASES: JSON, {name: {"params": {key: value}} or {"file": path}}
    python plans.py pixels CASES OUT    # CASES: JSON, {name: path of an image}
    python plans.py weights NETWORK OUT

Run in the root of a clone that is reproduced. OUT: JSON, {name: the stages}.
"""

import json
import sys
from pathlib import Path
from typing import Any

import quick_yaml  # noqa: F401 -- of this folder; before DVC reads anything
from dvc.repo import Repo
from PIL import Image
from ruamel.yaml import YAML

PARAMS = Path("params.yaml")
DRAW = "data/demo/dvc.yaml:draw"


def planned() -> list[str]:
    """What `dvc repro --dry` would run: the stages whose parameters, dependencies or outputs are not the lock's."""
    with Repo() as repo, repo.lock:
        return [stage.addressing for stage in repo.index.stages if stage.changed()]


def ran(*targets: str) -> list[str]:
    with Repo() as repo:
        return [stage.addressing for stage in repo.reproduce(targets or None)]


def change(**changes: Any) -> None:
    content = YAML(typ="safe").load(PARAMS.read_text())
    for key, value in changes.items():
        *blocks, last = key.split(".")
        block = content
        for name in blocks:
            block = block[name]
        block[last] = value
    with PARAMS.open("w") as file:
        YAML(typ="safe").dump(content, file)


def params(cases: dict[str, Any]) -> dict[str, list[str]]:
    """Each change alone: of params.yaml, or a line more in a file."""
    plans = {"nothing": planned()}
    for name, case in cases.items():
        file = Path(case.get("file", PARAMS))
        before = file.read_bytes()
        if "file" in case:
            file.write_bytes(before + b"\n# a remark\n")
        else:
            change(**case["params"])
        plans[name] = planned()
        file.write_bytes(before)
    return plans


def pixels(cases: dict[str, str]) -> dict[str, list[str]]:
    """One pixel of one image: what runs up to `prepare`, and what would run after it. The files keep their lengths."""
    plans = {}
    for name, path in cases.items():
        file = Path(path)
        before = file.read_bytes()
        with Image.open(file) as image:
            red, *others = image.getpixel((3, 5))
            image.putpixel((3, 5), (red ^ 128, *others))  # enough to be seen after `prepare` has shrunk it
            image.save(file, compress_level=0)
        assert len(file.read_bytes()) == len(before) and file.read_bytes() != before
        with Repo() as repo:
            repo.commit(DRAW, force=True)  # as if it had drawn these images
        plans[name] = ran("prepare") + planned()
        file.write_bytes(before)
    return plans


def weights(network: str) -> dict[str, list[str]]:
    """Other bytes in a network's weights file. It has not been trained: its outputs are made up, its lock is real."""
    file = Path("data/weights/net.safetensors")
    file.write_bytes(b"some")
    content = YAML(typ="safe").load(PARAMS.read_text())
    change(**{"run.networks": [*content["run"]["networks"], network], f"models.{network}.weights": file.as_posix()})
    ran("check")
    for output in (f"models/{network}/model.json", f"metrics/{network}/history.csv"):
        Path(output).parent.mkdir()
        Path(output).write_text("{}")
    with Repo() as repo:
        repo.commit(f"train@{network}", force=True)
    plans = {"before": planned()}
    file.write_bytes(b"other")
    plans["check"] = ran("check")
    plans["after"] = planned()
    return plans


if __name__ == "__main__":
    what, argument, out = sys.argv[1:]
    plans = weights(argument) if what == "weights" else {"params": params, "pixels": pixels}[what](json.loads(argument))
    Path(out).write_text(json.dumps(plans))
