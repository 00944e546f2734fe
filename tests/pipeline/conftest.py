"""A real clone with a tiny demo, reproduced by the real DVC once, and traced; tests that change it work on a copy."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.pipeline.clones import Clone, clean_environment, tiny_clone


@pytest.fixture(scope="session")
def reproduced(shared_folder: Path, preloaded: str, migrated: Path) -> Clone:
    """The tiny clone after `dvc repro`, in a folder with spaces in its name. Shared: copy it before changing it."""
    place = shared_folder / "a clone with spaces"
    with FileLock(f"{place}.lock"):
        if not (place / ".printed").exists():
            clone = tiny_clone(place / "fakeprint")  # each stage in a Python of its own, as for a user
            clone.trace()
            shutil.copy2(migrated, clone.root)
            (place / "trace").mkdir()
            printed = clone.dvc("repro", FAKEPRINT_TRACE=str(place / "trace"))
            clone.commit()
            (place / ".printed").write_text(printed)
    return Clone(place / "fakeprint", preloaded)


@pytest.fixture(scope="session")
def preloaded(shared_folder: Path) -> Iterator[str]:
    """For the PATH of a clone: a `python` that need not load the large libraries. All test processes share its server.

    `reproduced` does without, so each stage runs in a Python of its own once.
    """
    own = str(Path(sys.executable).parent)
    if sys.platform != "linux":  # elsewhere a fork may not use what its parent has loaded
        yield own
        return
    place = shared_folder / "preloaded"
    with FileLock(f"{place}.lock"):
        if not place.exists():
            place.mkdir()
            os.mkfifo(place / "users")
        users = os.open(place / "users", os.O_RDWR)  # the server ends when nobody has it open for writing
        if not (place / "socket").exists():
            _start_server(place)
    yield f"{place}:{own}"
    os.close(users)


def _start_server(place: Path) -> None:
    here = Path(__file__).parent
    client = shlex.join([sys.executable, "-IS", str(here / "preloaded_client.py"), str(place)])
    (place / "python").write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    (place / "python").chmod(0o755)
    with (place / "users").open("rb") as users, (place / "log").open("wb") as log:
        command = [sys.executable, here / "preloaded.py"]
        server = subprocess.Popen(command, cwd=place, env=clean_environment(), stdin=users, stdout=log, stderr=log)
    while not (place / "socket").exists():
        assert server.poll() is None, (place / "log").read_text()
        time.sleep(0.1)


@pytest.fixture
def clone(reproduced: Clone, preloaded: str, tmp_path: Path) -> Clone:
    """A copy of the reproduced clone that a test may change."""
    root = tmp_path / "a copy"
    shutil.copytree(reproduced.root, root, symlinks=True)
    return Clone(root, preloaded)
