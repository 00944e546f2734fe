"""Reading a Dockerfile, and the repository's own."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from containers import dockerfile
from containers.building import context
from containers.requirements import blocks, write
from fakeprint.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
STAGES = dockerfile.parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))
IMAGES = ("api", "worker", "mlflow", "app", "bot")
SECRET = ("TOKEN", "PASSWORD", "SECRET", "KEY")


# --- reading -------------------------------------------------------------------------------------------------------


def test_stages_arguments_and_configuration() -> None:
    text = """
ARG IMAGE=debian:12
FROM ${IMAGE} AS first
# said in passing
ARG OPTIONS="--a b"
ENV A=1 \\
    # in between
    B="two words" PATH=/opt:$PATH
RUN one \\
    && two
FROM first AS second
COPY --from=first /a /b
USER 7
ENTRYPOINT ["run"]
CMD ["x", "y z"]
HEALTHCHECK --interval=3s CMD ["ask"]
"""
    stages = dockerfile.parse(text, {"IMAGE": "debian:13"})
    assert [(stage.name, stage.base) for stage in stages.values()] == [("first", "debian:13"), ("second", "first")]
    assert [each.rest for each in stages["first"].instructions if each.name == "RUN"] == ["one      && two"]
    options = next(each for each in stages["first"].instructions if each.name == "ARG")
    assert dockerfile.argument(options, {}) == {"OPTIONS": "--a b"}
    assert dockerfile.argument(options, {"OPTIONS": "c"}) == {"OPTIONS": "c"}
    assert stages["second"].copies == [("first", ["/a"], "/b")]
    found = dockerfile.config(stages, "second")
    assert found.environment == {"A": "1", "B": "two words", "PATH": "/opt:$PATH"}
    assert (found.user, found.entrypoint, found.command, found.health) == ("7:7", ["run"], ["x", "y z"], ["ask"])


def test_an_instruction_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="an instruction ADD, which is not known here"):
        dockerfile.parse("FROM a AS b\nADD x y\n")


# --- the repository's --------------------------------------------------------------------------------------------


def test_every_source_of_a_copy_is_there() -> None:
    copies = [copy for stage in STAGES.values() for copy in stage.copies]
    files = context(ROOT)
    for copy in copies:
        if copy.stage:
            assert copy.stage in STAGES
        else:
            assert all(source == "." or Path(source) in files for source in copy.sources), copy
    assert Path("src/fakeprint/shipped/unibuc/trace_net/weights.safetensors") in files
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["fakeprint"]["pipeline"]  # what setup.py puts into the wheel beside the package
    for name in (*packed, "setup.py", *project["project"]["license-files"], project["project"]["readme"]):
        assert any(file.is_relative_to(name) for file in files), name


def test_the_context_holds_no_secret_and_no_data(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text((ROOT / ".dockerignore").read_text(encoding="utf-8"), encoding="utf-8")
    for name in (
        ".env",
        "src/.env",
        "src/.env.local",
        "src/a.py",
        "src/__pycache__/a.pyc",
        "data/raw/1.png",
        "mlflow.db",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [file.as_posix() for file in context(tmp_path)] == ["src/a.py"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_a_command_that_there_is(image: str) -> None:
    found = dockerfile.config(STAGES, image)
    assert found.user == "10001:10001"
    if image == "mlflow":
        assert (found.entrypoint, found.command[0]) == (["mlflow"], "server")
    else:
        assert found.entrypoint == ["fakeprint"]
        assert found.command[0] in COMMANDS
    places = [found.environment[name] for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")]
    assert all(place.startswith(("/tmp", "/data")) for place in places)


def test_no_secret_is_in_the_dockerfile() -> None:
    for instruction in (each for stage in STAGES.values() for each in stage.instructions):
        if instruction.name in ("ARG", "ENV"):
            assert not [word for word in SECRET if word in instruction.rest.upper()], instruction


@pytest.mark.slow
@pytest.mark.parametrize("image", [image for image in IMAGES if dockerfile.config(STAGES, image).health])
@pytest.mark.parametrize("status", [200, 503])
def test_health_checks(image: str, status: int) -> None:
    found = dockerfile.config(STAGES, image)
    with _answering(status) as (port, paths):
        python, *rest = found.health
        command = [word.replace(f":{found.ports[0]}/", f":{port}/") for word in rest]
        done = subprocess.run([sys.executable, *command], capture_output=True)
    assert python == "python"
    assert done.returncode == (0 if status == 200 else 1)
    assert paths == [{"api": "/ready", "mlflow": "/health", "app": "/_stcore/health"}[image]]


@contextmanager
def _answering(status: int) -> Iterator[tuple[int, list[str]]]:
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, paths
        server.shutdown()


# --- what is installed ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("requirements")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    write((ROOT / "requirements.lock").read_text(encoding="utf-8"), project, made)
    return made


def test_the_lock_is_split_without_loss(folder: Path) -> None:
    locked = blocks((folder / "locked.txt").read_text(encoding="utf-8"))
    whole = blocks((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert all(whole[name] == block for name, block in locked.items())
    left_out = set(whole) - set(locked)
    assert {"torch", "torchvision"} < left_out
    assert all(name.startswith(("torch", "triton", "nvidia-", "cuda-")) for name in left_out), left_out
    assert all("--hash=sha256:" in block for block in locked.values())
    tools = blocks((folder / "tools.txt").read_text(encoding="utf-8"))
    assert {name: whole[name].rstrip() for name in ("setuptools", "uv")} == {k: v.rstrip() for k, v in tools.items()}
    torch = (folder / "torch.txt").read_text(encoding="utf-8").split()
    assert torch == [whole[name].split()[0] for name in ("torch", "torchvision")]


@pytest.mark.parametrize("image", ["service", "app", "bot"])
def test_what_an_image_installs_is_pinned(folder: Path, image: str) -> None:
    whole = blocks((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    lines = (folder / f"{image}.txt").read_text(encoding="utf-8").splitlines()
    for requirement in (Requirement(line) for line in lines):
        pinned = whole[canonicalize_name(requirement.name)].split()[0].partition("==")[2]
        assert Version(pinned) in requirement.specifier, requirement


@pytest.mark.slow
def test_the_bot_needs_its_extra_alone() -> None:
    code = (
        "import fakeprint.commands.bot, fakeprint.service.bot.application, json, sys; print(json.dumps([*sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert {"telegram", "httpx", "limits"} < loaded
    assert not loaded & {"numpy", "torch", "pandas", "sklearn", "fastapi", "sqlalchemy", "PIL"}
