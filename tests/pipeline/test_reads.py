"""What each stage reads while the pipeline runs, against what dvc.yaml declares: what is read is declared, and back."""

import ast
import re
from collections import defaultdict
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.pipeline.clones import ROOT, Clone, ran
from tests.test_dependencies import NOT_USED, WITHOUT_EFFECT

pytestmark = pytest.mark.slow

# Read by any stage and without effect on its outputs.
ANYWHERE = (
    "params.yaml",  # its keys are compared below
    "src/sitecustomize.py",  # the tracer
    "stages/__init__.py",  # how threads wait
    *(".git/", ".fakeprint/", "mlflow.db", "mlartifacts/"),  # for MLflow
)
DIGESTS = "src/fakeprint/digests.py"
# Read and not declared, with the reason.
UNDECLARED = {
    "prepare": ("data/demo/images",),  # the manifest holds a digest of every image
    "fit": ("src/fakeprint/features", DIGESTS),  # the package of features/files.py; for MLflow
    "train": ("data/arrays/test.npy", DIGESTS),  # for MLflow
    "ensemble": (DIGESTS,),  # for MLflow
    "predict_degraded": ("models",),  # no model changes without its predictions, which are declared
    "decide": ("models",),  # the same
    # data/evaluated holds a digest of each file; the code goes into the models that MLflow serves
    "track": ("models", "metrics", "reports", "src/fakeprint"),
}
# Declared and not read in this run, with the reason.
UNREAD = {
    "check": ("data/verdicts", "data/weights"),  # no such file is named
    "validate": ("data/checked/params", "data/checked/verdicts.csv"),  # `check` goes first; no verdicts are named
    "features": ("data/checked/features/ITEM", "src/fakeprint/models/pretrained.py"),  # of `backbone`
    "fit": (
        "data/augmented",  # where its block says augmented: true
    ),
    "train": (
        "data/augmented",  # where train.augmented is true
        "data/checked/models/ITEM",  # of networks with a weights file
        *("src/fakeprint/models/networks/library.py", "src/fakeprint/models/pretrained.py"),  # of other networks
    ),
    "predict": ("src/fakeprint/models/networks/library.py", "src/fakeprint/models/pretrained.py"),  # of other networks
    "predict_classifiers": ("src/fakeprint/models/pretrained.py",),  # of `backbone`
    "evaluate": ("data/predictions/ITEM.parquet",),  # of ensembles
    "evaluate_classifiers": ("data/predictions/ITEM.parquet",),
    "decide": ("src/fakeprint/models/ensembles/learned.py",),  # where the champion is one
}
# Looked at by any stage, for they change no result.
FREE = ("run.workers", "run.backend", "run.scheduler", "tracking")
# Looked at and not declared, with the reason.
UNDECLARED_PARAMS = {
    "validate": ("data.real_classes",),  # refused where it names no class; it changes no output
    "train": ("data.title", "prepare.fold"),  # for MLflow
    "track": (
        "seed",
        "classifiers",
        "features",
        "models",
        "model",
        "train",
        "ensembles",
        "explain.models",  # their pages' digests are in data/evaluated
    ),  # no model changes without them
}
NATIVE = ("predict.crops", "predict.crop_choice")  # where prepare.resize is native
# Declared and not looked at in this run, with the reason.
UNREAD_PARAMS = {
    "prepare": ("prepare.folds", "prepare.small"),  # where prepare.fold is one of them; where prepare.resize is native
    "predict": ("predict.shift", *NATIVE),  # where predict.tta shifts
    "predict_classifiers": NATIVE,
    "ensemble": ("ensembles.average.folds",),  # where it is calibrated
    "predict_degraded": ("ensembles", "predict.shift", *NATIVE),  # those that do not run; the same
}


Reads = dict[str, dict[str, set[str]]]


@pytest.fixture(scope="module")
def reads(reproduced: Clone) -> Reads:
    """{stage: {"file" or "param": what it read}}, stages as in dvc.lock, modules as source files."""
    found: Reads = defaultdict(lambda: {"file": set(), "param": set()})
    for notes in (reproduced.root.parent / "trace").iterdir():
        for line in notes.read_text().splitlines():
            kind, _, what = line.partition(" ")
            if ".partial" not in what:  # what it is about to write
                found[notes.stem][kind].add(re.sub(r"__pycache__/(\w+)\.[\w.-]+\.pyc$", r"\1.py", what))
    return found


@pytest.fixture(scope="module")
def stages(reproduced: Clone, reads: Reads) -> dict[str, dict[str, Any]]:
    """The entries of dvc.lock, of stages of the root that ran."""
    lock = YAML(typ="safe").load(reproduced.bytes("dvc.lock").decode())["stages"]
    names = [name for name in ran((reproduced.root.parent / ".printed").read_text()) if ":" not in name]
    assert set(names) == set(reads) - {"draw"}
    return {name: lock[name] for name in names}


def is_in(path: str, places: tuple[str, ...]) -> bool:
    """Whether a file is one of these or in one of these folders; a key of params.yaml likewise, its dots as slashes."""
    return any(path == place or path.startswith(place.rstrip("/") + "/") for place in places)


def as_path(key: str) -> str:
    return key.replace(".", "/").rstrip("*").rstrip("/")


def says_nothing(path: str) -> bool:
    """Whether it is a module of a docstring alone, as most `__init__.py` are."""
    return path.endswith("__init__.py") and len(ast.parse((ROOT / path).read_text()).body) <= 1


def test_every_file_that_a_stage_reads_is_declared(stages: dict[str, dict[str, Any]], reads: Reads) -> None:
    undeclared = []
    for name, entry in stages.items():
        stage = name.split("@")[0]
        own = tuple(each["path"] for each in [*entry["deps"], *entry["outs"]])
        unused = tuple(f"src/fakeprint/{part}" for part in NOT_USED.get(stage, ()))
        free = (*own, *ANYWHERE, *WITHOUT_EFFECT, *unused, *UNDECLARED.get(stage, ()))
        files = [file for file in sorted(reads[name]["file"]) if not is_in(file, free) and not says_nothing(file)]
        undeclared += [f"{name} reads {file}" for file in files]
    assert undeclared == []


def test_every_file_that_a_stage_declares_is_read(stages: dict[str, dict[str, Any]], reads: Reads) -> None:
    unread = []
    for name, entry in stages.items():
        stage, _, item = name.partition("@")
        free = tuple(path.replace("ITEM", item) for path in UNREAD.get(stage, ()))
        declared = [each["path"] for each in entry["deps"] if each["path"] not in free]
        # of a group, the stage of one item reads the code of its own method
        read = set().union(*(reads[other]["file"] for other in stages if other.split("@")[0] == stage))
        unread += [
            f"{name} does not read {path}" for path in declared if not any(is_in(file, (path,)) for file in read)
        ]
    assert "\n".join(unread) == ""


def test_every_parameter_that_a_stage_looks_at_is_declared(stages: dict[str, dict[str, Any]], reads: Reads) -> None:
    undeclared = []
    for name, entry in stages.items():
        stage = name.split("@")[0]
        if stage == "check":  # depends on the whole file
            continue
        declared = tuple(map(as_path, [*_params(entry), *FREE, *UNDECLARED_PARAMS.get(stage, ())]))
        keys = [key for key in sorted(reads[name]["param"]) if not is_in(as_path(key), declared)]
        undeclared += [f"{name} looks at {key}" for key in keys]
    assert undeclared == []


def test_every_parameter_that_a_stage_declares_is_looked_at(
    stages: dict[str, dict[str, Any]], reads: Reads, reproduced: Clone
) -> None:
    """Each key of a block that is declared as a whole: a key that no stage reads would rerun it for nothing."""
    everything = YAML(typ="safe").load(reproduced.bytes("params.yaml").decode())
    unread = []
    for name, entry in stages.items():
        free = tuple(map(as_path, UNREAD_PARAMS.get(name.split("@")[0], ())))
        if name == "augment":  # the strength and the probability of a transform are read where it is enabled
            free += tuple(map(as_path, _of_disabled(everything["augment"]["transforms"])))
        seen = tuple(as_path(key) for key in reads[name]["param"])
        for declared in _params(entry):
            keys = [key for key in _leaves(everything, declared) if not is_in(as_path(key), (*seen, *free))]
            unread += [f"{name} does not look at {key}" for key in keys]
    assert unread == []


def _of_disabled(transforms: dict[str, Any]) -> list[str]:
    disabled = {name: block for name, block in transforms.items() if not block["enabled"]}
    return [f"augment.transforms.{name}.{key}" for name, block in disabled.items() for key in block if key != "enabled"]


def _params(entry: dict[str, Any]) -> list[str]:
    return list(entry.get("params", {}).get("params.yaml", {}))


def _leaves(everything: dict[str, Any], key: str) -> list[str]:
    value: Any = everything
    for name in key.split("."):
        value = value[name]
    if not isinstance(value, dict) or not value:
        return [key]
    return [leaf for name in value for leaf in _leaves(everything, f"{key}.{name}")]


def test_the_tracer_sees_what_it_is_there_for(reads: Reads) -> None:
    """Files that Python and pyarrow open, modules, and parameters looked at one by one or whole."""
    assert {"data/arrays/validation.npy", "data/arrays/validation.parquet"} <= reads["evaluate_classifiers@lda"]["file"]
    assert "src/fakeprint/models/networks/three_cnn.py" in reads["train@three_cnn"]["file"]
    assert "src/fakeprint/models/networks/three_cnn.py" not in reads["train@hist_cnn"]["file"]
    assert "models/lda/model.json" in reads["predict_classifiers@lda"]["file"]
    assert {"evaluate.calibration_bins", "evaluate.mistakes", "data.title"} <= reads["evaluate_classifiers@lda"][
        "param"
    ]
    assert {"decide.max_error", "predict.*"} <= reads["decide"]["param"]


def test_allowances_are_of_stages_that_exist(stages: dict[str, dict[str, Any]]) -> None:
    names = {name.split("@")[0] for name in stages}
    assert {*UNDECLARED, *UNREAD, *UNDECLARED_PARAMS, *UNREAD_PARAMS} <= names
