"""The package in environments of its own: a wheel, an editable install, and a Python that has none of the packages."""

import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.clones import Clone, tiny_clone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone that has not run."""
    return tiny_clone(tmp_path_factory.mktemp("installation") / "clone")


def empty_environment(folder: Path) -> Path:
    """The Python of a new environment without any package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


def uv(*words: str | Path) -> None:
    """Run the environment's uv without a network; what builds is setuptools, of the environment too."""
    program = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    assert program, "uv is missing: it is in requirements.lock"
    done = subprocess.run([program, *words, "--offline", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def with_dependencies(python: Path) -> Path:
    """The same environment, which now sees the packages of the one that runs the tests."""
    paths = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    )
    Path(paths.stdout.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def installed(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that a wheel of the clone is installed in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # setuptools writes into it
    shutil.copytree(clone.root, source, ignore=shutil.ignore_patterns(".git"))
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    python = with_dependencies(empty_environment(folder / "environment"))
    uv("pip", "install", "--no-deps", "--no-index", "--python", python, wheel)
    shutil.rmtree(source)
    return python.parent


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """In `folder`, as a person would who knows nothing of the repository."""
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_wheel_predicts_in_any_folder(installed: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    done = run(tmp_path, installed / "fakeprint", "predict", "a.png", "--model", "unibuc", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert printed["model"] == "trace_net"
    (image,) = printed["images"]
    assert image["image"] == "a.png"
    assert sum(image["probabilities"].values()) == pytest.approx(1)


def test_a_wheel_lists_the_models_in_any_folder(installed: Path, tmp_path: Path) -> None:
    done = run(tmp_path, installed / "fakeprint", "models")
    assert (done.returncode, done.stderr) == (0, "")
    assert "three_cnn" in done.stdout


FIT = """
import sys
from pathlib import Path
from fastapi.testclient import TestClient
from fakeprint.service.api import create_app
from fakeprint.service.jobs import pipeline, store, work_folder
from fakeprint.service.settings import Settings

settings = Settings(folder=Path("service"), workers=0)
app = create_app(settings)
with TestClient(app) as client:
    sent = client.post("/fit", files={"archive": ("a.zip", Path("a.zip").read_bytes())})
    assert sent.status_code == 202, sent.text
    job = store.claim(app.state.engine, settings, "worker")
print(work_folder.make(settings, job))
"""


def test_a_wheel_has_the_pipeline_that_jobs_run(installed: Path, clone: Clone, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number, image in enumerate(images):
            with archive.open(f"{'ab'[number % 2]}/{number}.png", "w") as file:
                Image.fromarray(image).save(file, "PNG")
    done = run(tmp_path, installed / "python", "-c", FIT)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.strip()
    for name in ("dvc.yaml", ".dvcignore", ".dvc/plots/lines_by_model.json", "presets/demo.yaml", "stages/train.py"):
        assert (folder / name).read_bytes() == clone.bytes(name)
    done = run(folder, "/usr/bin/env", f"PATH={installed}:/usr/bin:/bin", "python", "-m", "dvc", "repro", "prepare")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "data/arrays/train.npy").exists()


def test_what_a_wheel_cannot_do_is_one_line(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    for words, message in (
        (["leaderboard"], "leaderboard: there is no params.yaml here; run it in the root of Fakeprint's repository"),
        (
            ["predict", "a.png"],
            "there is no folder models here: run `dvc repro` in the repository, or add --model unibuc",
        ),
    ):
        done = run(tmp_path, installed / "fakeprint", *words)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


def test_a_stage_runs_the_code_of_its_own_folder_whatever_is_installed(clone: Clone, tmp_path: Path) -> None:
    """As in the copies that `dvc exp run --queue` and `--temp` make, where the main folder is what is installed."""
    main = tmp_path / "main"
    for name in ("pyproject.toml", "README.md", "src/fakeprint/__init__.py"):
        (main / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(clone.root / name, main / name)
    with (main / "src/fakeprint/__init__.py").open("a") as file:
        file.write("raise SystemExit('this is the installed code')\n")
    python = with_dependencies(empty_environment(tmp_path / "environment"))
    uv("pip", "install", "--no-deps", "--no-build-isolation", "--python", python, "--editable", main)
    assert run(tmp_path, python, "-c", "import fakeprint").stderr == "this is the installed code\n"
    done = clone.run(str(python), "-m", "dvc", "repro", "check", PATH=f"{python.parent}:/usr/bin:/bin")
    assert "Running stage 'check'" in done.stdout


SYSTEM = Path("/usr/bin/python3")


@pytest.mark.parametrize("which", ["empty", "system"])
def test_a_stage_in_the_wrong_python_is_one_line(clone: Clone, tmp_path: Path, which: str) -> None:
    """`.venv/bin/dvc repro` without activation: `python` is another one then."""
    if which == "system":
        if not SYSTEM.exists() or run(tmp_path, SYSTEM, "-c", "import pydantic").returncode == 0:
            pytest.skip("the system has no Python, or one with the packages")
        (tmp_path / "python").symlink_to(SYSTEM)
        path = tmp_path
    else:
        path = empty_environment(tmp_path / "environment").parent
    words = (sys.executable, "-m", "dvc", "repro", "--force", "check")
    printed = clone.run(*words, check=False, PATH=f"{path}:/usr/bin:/bin").stdout
    _, command, *lines = [line for line in printed.splitlines() if line]
    assert command == "> PYTHONPATH=src python -m stages.check"
    assert len(lines) == 2  # the second is DVC's own
    assert lines[0].startswith("error: `python` is ")
    assert lines[0].endswith(": activate Fakeprint's environment first, `. .venv/bin/activate`")
    assert "lacks the package" in lines[0] or "is older than 3.11" in lines[0]
