"""Every stage depends on the code that it runs: a change to that code must rerun it."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fakeprint.models import networks
from fakeprint.params import Data

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
# What no output depends on: messages, how files are written, progress, tracking. A stage depends on the blocks of
# params.yaml that it reads, not on their definition, which grows with every model.
NEUTRAL = (
    "__init__.py",
    "augment/__init__.py",
    "errors.py",
    "evaluation/__init__.py",
    "files.py",
    "models/__init__.py",
    "models/classifiers/__init__.py",
    "models/description.py",
    "parallel.py",
    "params",
    "progress.py",
    "tracking",
    "verification/__init__.py",
)
WITHOUT_EFFECT = {f"src/fakeprint/{name}" for name in NEUTRAL}
# predict.py serves every kind of model, and image files besides arrays; a stage predicts with one kind, from arrays.
NETWORKS = {"models/network_files.py", "models/networks", "training/device.py"}
FILES = {
    *("data/decode.py", "data/regular.py", "models/ensembles/combinations.py", "models/ensembles/learned.py"),
    "verdict/calibration.py",
}
NOT_USED = {
    "predict": {*FILES, "features", "folds.py", "models/classifiers"},
    "predict_classifiers": {*NETWORKS, *FILES, "folds.py"},
    "predict_degraded": {"data/decode.py", "data/regular.py"},
}
GENERATORS = ("cross_generator", "cross_generator_networks")
# An LDA of a network's features tells how unlike the train images an image is.
OF_NETWORKS = {"scaling.py", "shrinkage_lda.py"}
OTHER_CLASSIFIERS = {
    f"models/classifiers/{file.name}"
    for file in (SOURCE / "fakeprint/models/classifiers").glob("*.py")
    if file.name not in OF_NETWORKS
}
TRAINING = {"augment", "models/networks", "refits/networks.py", "training"}
for group in ("open_world", "cross_generator"):
    NOT_USED[group] = TRAINING
    NOT_USED[f"{group}_networks"] = {*OTHER_CLASSIFIERS, "features/files.py", "refits/classifiers.py"}
STAGES: dict[str, dict] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


def imported(path: Path) -> set[Path]:
    """The files of the package that a file imports, within functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in filter(lambda name: name.split(".")[0] == "fakeprint", names):
            place = SOURCE.joinpath(*name.split("."))
            found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()}
    return found


def closure(stage: Path) -> set[str]:
    """All files of the package that running this stage may load, as dvc.yaml names them."""
    seen: set[Path] = set()
    waiting = [stage]
    while waiting:
        new = {file for file in imported(waiting.pop()) if not _without_effect(file.relative_to(ROOT))}
        waiting.extend(new - seen)
        seen |= new
    return {file.relative_to(ROOT).as_posix() for file in seen}


def _without_effect(file: Path) -> bool:
    return any(place.as_posix() in WITHOUT_EFFECT for place in (file, *file.parents))


@pytest.mark.parametrize("name", STAGES)
def test_depends_on_its_code(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])
    script = stage["cmd"].split("-m stages.")[1].split()[0]
    deps = stage["deps"]
    assert f"stages/{script}.py" in deps
    covered = (*deps, *(f"src/fakeprint/{part}" for part in NOT_USED.get(name, ())))
    assert sorted(file for file in closure(ROOT / "stages" / f"{script}.py") if not file.startswith(covered)) == []


def test_which_classes_are_real_reruns_scoring_alone() -> None:
    """`validate` depends on every key of `data` that changes what it writes, so a new key must be listed there."""
    params = {name: stage.get("do", stage).get("params", []) for name, stage in STAGES.items()}
    listed = {key.removeprefix("data.") for key in params["validate"] if key.startswith("data.")}
    assert listed == set(Data.model_fields) - {"real_classes", "title", "unknown"}
    affected = {name for name, keys in params.items() if {"data", "data.real_classes"} & set(keys)}
    assert affected == {"evaluate", "evaluate_classifiers", "evaluate_ensembles", "compare", *GENERATORS}


@pytest.mark.parametrize("stage", ["train", "predict", "open_world_networks", "cross_generator_networks"])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_depends_on_the_network_s_own_file(stage: str, name: str) -> None:
    """It is imported by its name, which no import statement shows."""
    deps = tuple(dep.replace("${item}", name) for dep in STAGES[stage]["do"]["deps"])
    own = SOURCE / f"fakeprint/models/networks/{name}.py"
    assert own.relative_to(ROOT).as_posix() in deps
    assert sorted(file for file in closure(own) if not file.startswith(deps)) == []
