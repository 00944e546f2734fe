"""Carries out the steps of a Dockerfile in folders, one per stage, by chroot."""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from containers import dockerfile
from containers.dockerfile import Config, Stage

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"


class Builder:
    """Makes a root per stage that is needed: a copy of the base, then the steps of the stage and those before it."""

    def __init__(
        self,
        stages: dict[str, Stage],
        base: Path,
        work: Path,
        arguments: dict[str, str],
        binds: Sequence[Path],
        environment: dict[str, str],
    ) -> None:
        self._stages, self._base, self._work = stages, base, work
        self._arguments, self._binds, self._environment = arguments, binds, environment
        self._built: dict[str, Path] = {}

    def build(self, name: str) -> Path:
        """The root of a stage; first those that it copies from."""
        if name in self._built:
            return self._built[name]
        steps = [step for stage in dockerfile.chain(self._stages, name) for step in stage.instructions]
        for step in steps:
            if step.name == "COPY" and (source := dockerfile.copy(step).stage):
                self.build(source)
        root, config = self._work / name, Config()
        variables: dict[str, str] = {}
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", self._base, root], check=True)
        for step in steps:
            began = time.monotonic()
            if step.name == "ARG":
                variables |= dockerfile.argument(step, self._arguments)
            elif step.name == "COPY":
                self._copy(root, config, dockerfile.copy(step))
            elif step.name == "RUN":
                self._run(root, config, variables, step.rest)
            else:
                dockerfile.configure(config, step)
                if step.name == "WORKDIR":
                    (root / config.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            if step.name in ("COPY", "RUN"):
                print(f"{name}: {time.monotonic() - began:6.1f} s  {step.name} {step.rest[:90]}", flush=True)
        self._built[name] = root
        return root

    def _copy(self, root: Path, config: Config, step: dockerfile.Copy) -> None:
        destination = root / str(Path(config.folder) / step.destination).lstrip("/")
        if step.stage:
            for source in step.sources:
                destination.parent.mkdir(parents=True, exist_ok=True)
                origin = self._built[step.stage] / source.lstrip("/")
                subprocess.run(["cp", "-a", "--reflink=auto", "-T", origin, destination], check=True)
            return
        for file in context(Path()):
            for source in step.sources:
                if source == "." or file == Path(source):
                    target = destination / (file if source == "." else file.name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target)

    def _run(self, root: Path, config: Config, variables: dict[str, str], command: str) -> None:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", **self._environment, **variables}
        mounts = [_mounted(path, root) for path in (Path("/etc/resolv.conf"), *self._binds)]
        script = " && ".join([*mounts, f"mount -t proc proc '{root}/proc'", f"mount --rbind /dev '{root}/dev'"])
        inner = ["chroot", str(root), "env", "-i", *pairs(environment | config.environment)]
        inner += ["/bin/sh", "-c", f"cd {config.folder} && {command}"]
        script = f'mount --make-rprivate / && {script} && exec "$@"'
        unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]
        if subprocess.run([*unshared, *inner]).returncode:
            sys.exit(f"error: a step failed: RUN {command}")


def context(folder: Path) -> list[Path]:
    """The files of the build context: what .dockerignore, which names everything first, lets in again."""
    lines = [line.strip() for line in (folder / ".dockerignore").read_text(encoding="utf-8").splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    if rules[0] != "*":
        raise ValueError(".dockerignore must begin with *, and then let in again what an image is built from")
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    ignored = [rule.removeprefix("**/") for rule in rules[1:] if not rule.startswith("!")]
    files = []
    for name in allowed:
        path = folder / name
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [file.relative_to(folder) for file in below if file.is_file()]
    return [file for file in files if not any(fnmatch(part, rule) for part in file.parts for rule in ignored)]


def make_base(base: Path, mirror: str | None) -> None:
    """What stands for the base image: Debian's minimal root with its Python, under the names that the image has."""
    began = time.monotonic()
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(base)]
    subprocess.run([*command, *([mirror] if mirror else [])], check=True, stdout=subprocess.DEVNULL)
    _rename_python(base)
    print(f"base: {time.monotonic() - began:6.1f} s  debootstrap {SUITE}", flush=True)


def _rename_python(root: Path) -> None:
    for name in ("python", "python3"):
        link = root / "usr/local/bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to("/usr/bin/python3")
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):  # Debian's, which the image has not
        marker.unlink()


def pairs(environment: dict[str, str]) -> list[str]:
    """NAME=VALUE of each variable."""
    return [f"{name}={value}" for name, value in environment.items()]


def _mounted(path: Path, root: Path) -> str:
    """The shell command that shows a file or folder of this machine at the same place in the root."""
    place = root / str(path).lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        place.mkdir(exist_ok=True)
    elif not place.exists():
        place.touch()
    return f"mount --bind '{path}' '{place}'"
