"""Keys of cells: what changes them, and what does not."""

import py_compile
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.presets import merge
from fakeprint.studies.cells import Sources
from fakeprint.studies.plan import nested

ROOT = Path(__file__).parents[2]
DEMO = YAML(typ="safe").load((ROOT / "presets/demo.yaml").read_text(encoding="utf-8"))
CODE = ("src/fakeprint/models/networks/three_cnn.py", "src/fakeprint/models/networks/vit.py", "stages/train.py")
CODE += ("stages/submit.py", "src/fakeprint/service/api.py", "src/fakeprint/data/demo.py", "src/fakeprint/seeds.py")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without git, with some of the code."""
    for name in ("dvc.yaml", "data/demo/dvc.yaml", "data/demo/params.yaml", *CODE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def key(root: Path, **changes: Any) -> str:
    content = YAML(typ="safe").load((ROOT / "presets/demo.yaml").read_text(encoding="utf-8"))
    merge(content, nested({name.replace("__", "."): value for name, value in changes.items()}))
    return Sources(root).key(params.parse(content))


@pytest.mark.slow
def test_parameters_with_an_effect_change_the_key(root: Path) -> None:
    first = key(root)
    same: list[dict[str, Any]] = [
        {"run__workers": 3},
        {"run__backend": "dask"},
        {"tracking__enabled": False},
        {"data__title": "other"},
        {"train__device": "cpu"},
        {"train__momentum": 0.5},  # adamw has none
        {"train__seed": 7},  # the seed of all
        {"classifiers__forest__trees": 3},  # does not run
        {"models__vit__depth": 3},
        {"evaluate__mistakes": 3},
        {"decide__max_error": 0.1},
    ]
    assert [changes for changes in same if key(root, **changes) != first] == []
    other: list[dict[str, Any]] = [
        {"seed": 8},
        {"train__seed": 8},
        {"train__lr": 0.1},
        {"classifiers__knn__k": [1]},
        {"prepare__fold": 1},
        {"robustness__grid": {}},
        {"calibrate__method": "none"},
        {"data__per_class": 5},
    ]
    assert len({first, *(key(root, **changes) for changes in other)}) == 1 + len(other)


@pytest.mark.slow
def test_degraded_images_for_ensembles_count_where_one_is_fitted_on_them(root: Path) -> None:
    grids: list[dict[str, Any]] = [{"degrade__grid": {}}, {"degrade__grid": {"jpeg": {"jpeg": 60}}}]
    fitted = {"ensembles__stacking__degraded": True, "run__ensembles": ["stacking"]}
    weaker = {"degrade__grid": {"jpeg": {"jpeg": 80}}}
    assert key(root, **grids[0]) == key(root, **grids[1])
    assert key(root, **fitted, **grids[1]) != key(root, **fitted, **weaker)


@pytest.mark.slow
def test_code_of_what_runs_changes_the_key(root: Path) -> None:
    first = key(root)
    for name in ("src/fakeprint/models/networks/vit.py", "stages/submit.py", "src/fakeprint/service/api.py"):
        (root / name).write_text("# other\n")
        assert key(root) == first, name
    seen = {first}
    for name in ("src/fakeprint/models/networks/three_cnn.py", "stages/train.py", "src/fakeprint/data/demo.py"):
        (root / name).write_text("# other\n")
        seen.add(key(root))
    assert len(seen) == 4
    assert key(root, run__networks=["hist_cnn"], ensembles__average__members=["lda"]) not in seen


def test_git_and_the_files_give_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without git the files count, which are those of HEAD."""
    listed = Sources(ROOT).files
    changed = subprocess.run(
        ["git", "diff", "--name-only", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    same = [name for name in listed if name not in changed.stdout.splitlines()]
    py_compile.compile(str(ROOT / "src/fakeprint/errors.py"))  # as importing it does
    monkeypatch.setenv("PATH", "")
    without = Sources(ROOT).files
    assert not [name for name in without if name.endswith(".pyc")]
    assert len(same) > 100
    assert {name: without[name] for name in same} == {name: listed[name] for name in same}


def test_the_content_of_outside_data_counts_and_not_its_place(root: Path) -> None:
    for name in ("one", "two"):
        (root / name / "train").mkdir(parents=True)
        (root / name / "train/a.png").write_bytes(b"image")
    sources = Sources(root)
    assert sources.data("one") == sources.data("two")
    known = sorted((root / ".fakeprint/studies/data").iterdir())
    assert len(known) == 2
    before = sources.data("one")
    (root / "one/train/a.png").write_bytes(b"other")
    assert Sources(root).data("one") != before
    (root / "one/train/a.png").rename(root / "one/train/b.png")
    (root / "one/train/b.png").write_bytes(b"image")
    assert Sources(root).data("one") != before
    with pytest.raises(InputError, match=r"data.path: .*three does not exist; give the data with --data PATH"):
        sources.data("three")


def test_what_makes_the_demo_counts_and_not_its_images(root: Path) -> None:
    first = Sources(root).data("data/demo/images")
    (root / "data/demo/images").mkdir()
    (root / "data/demo/images/x.png").write_bytes(b"x")
    assert Sources(root).data("data/demo/images") == first
    file = root / "data/demo/params.yaml"
    file.write_text(file.read_text().replace("seed:", "seed: 1 #"))
    assert Sources(root).data("data/demo/images") != first


def test_the_bytes_of_a_weights_file_count(root: Path) -> None:
    weights = root / "data/weights/net.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"some")
    changes = {"run__networks": ["alexnet"], "models__alexnet__weights": "data/weights/net.safetensors"}
    changes |= {"run__ensembles": []}
    first = key(root, **changes)
    weights.write_bytes(b"other")
    assert key(root, **changes) != first
