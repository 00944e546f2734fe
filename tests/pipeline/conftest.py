"""A real clone with a tiny demo, reproduced by the real DVC once, and traced; tests that change it work on a copy."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.pipeline.clones import Clone, tiny_clone


@pytest.fixture(scope="session")
def reproduced(shared_folder: Path, preloaded: str, migrated: Path) -> Clone:
    """The tiny clone after `dvc repro`, in a folder with spaces in its name. Shared: copy it before changing it."""
    place = shared_folder / "a clone with spaces"
    with FileLock(f"{place}.lock"):
        if not (place / ".printed").exists():
            clone = tiny_clone(place / "fakeprint", preloaded)
            clone.trace()
            shutil.copy2(migrated, clone.root)
            for name in ("trace", "own"):
                (place / name).mkdir()
            # each script of a stage once in a Python of its own, as for a user
            printed = clone.dvc("repro", FAKEPRINT_TRACE=str(place / "trace"), FAKEPRINT_OWN=str(place / "own"))
            clone.commit()
            (place / ".printed").write_text(printed)
    return Clone(place / "fakeprint", preloaded)


@pytest.fixture
def clone(reproduced: Clone, preloaded: str, tmp_path: Path) -> Clone:
    """A copy of the reproduced clone that a test may change."""
    root = tmp_path / "a copy"
    shutil.copytree(reproduced.root, root, symlinks=True)
    return Clone(root, preloaded)
