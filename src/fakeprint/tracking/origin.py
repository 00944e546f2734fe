"""Where a run came from: parameters, DVC experiment, commit, package versions, hardware, process."""

import contextlib
import getpass
import os
import platform
import re
import socket
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fakeprint.files import main_root, started
from fakeprint.params import Params, settings_of, with_effect

PACKAGES = ("numpy", "scipy", "scikit-learn", "faiss-cpu", "opencv-python-headless", "torch", "torchvision", "mlflow")
CODE = ("src", "stages", "params.yaml", "dvc.yaml")  # what makes a commit dirty; results change during every run
PROCESS = "fakeprint.process"


def describe(params: Params, name: str, kind: str) -> dict[str, Any]:
    """The parameters of a model's run: those that concern it and have an effect."""
    return {"model": name, "kind": kind, "seed": params.seed, **with_effect(settings_of(params, name, kind))}


def source_tags(name: str, kind: str) -> dict[str, str]:
    """Tags of a run that begins in this process: who and what made it, from which commit."""
    commit = _commit()
    tags = {
        "mlflow.source.name": os.environ.get("DVC_STAGE", name),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit.removesuffix("+dirty"),
        "mlflow.user": _user(),
        "git.commit": commit,
        "model.kind": kind,
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        PROCESS: this_process(),
    }
    return {key: value for key, value in tags.items() if value}


def machine_tags(kind: str) -> dict[str, str]:
    """Hardware and package versions; imports torch for a network, whose process has imported it anyway."""
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    found = {
        "hardware.cpu": _cpu(),
        "hardware.cores": str(os.cpu_count()),
        "hardware.ram": f"{ram / 2**30:.1f} GiB",
        "version.python": platform.python_version(),
    }
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[f"version.{package}"] = version(package)
    if kind == "network":
        import torch

        if torch.cuda.is_available():
            found["hardware.gpu"] = torch.cuda.get_device_name()
    return found


def experiment_tag() -> str:
    """The tag of the DVC experiment that this process belongs to."""
    return "dvc.experiment." + as_key(os.environ.get("DVC_EXP_NAME") or "workspace")


def as_key(name: object) -> str:
    """The name with `_` for characters that MLflow refuses in keys."""
    return re.sub(r"[^\w. -]", "_", str(name))


def this_process() -> str:
    """HOST-PID-START; START is when it started, in ticks since boot: later than an earlier process with its number."""
    return f"{as_key(socket.gethostname())}-{os.getpid()}-{started(os.getpid())}"


@contextlib.contextmanager
def held() -> Iterator[None]:
    """While inside, this process holds a lock that others see; the kernel frees it however the process ends."""
    with (lock := _lock_of(this_process(), shared=True)):
        yield
    if not lock.is_locked:
        Path(lock.lock_file).unlink(missing_ok=True)


def lives(process: str) -> bool:
    """Whether the process of a run may still live; True where that cannot be seen from here.

    Its lock counts first: it is right where host names and process ids mislead, in another container on the same files
    or after this one was started again.
    """
    parts = re.fullmatch(r"(.+)-(\d+)-(\d+)", process)
    is_here = parts is not None and parts[1] == as_key(socket.gethostname())
    lock = _lock_of(process)
    if Path(lock.lock_file).exists():
        try:
            with lock:
                if is_here:  # of another container's process, the file alone shows the next time that it is dead
                    Path(lock.lock_file).unlink(missing_ok=True)
                return False
        except Timeout:
            return True
    return not (parts and is_here) or started(int(parts[2])) == int(parts[3])


def _lock_of(process: str, shared: bool = False) -> FileLock:
    folder = main_root() / ".fakeprint/processes"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{as_key(process)}.lock", timeout=0, thread_local=False, is_singleton=shared)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number that no user has, as in `docker run --user 1234`
        return str(os.getuid())


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit, with `+dirty` where code or parameters differ from it."""
    try:
        commit, changed = (
            subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", *CODE])
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}+dirty" if changed else commit
