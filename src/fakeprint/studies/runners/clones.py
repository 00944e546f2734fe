"""Clones of the repository at HEAD, in which cells run, so that the workspace is never stashed, reset or edited.

DVC's cache is the main repository's, and so is MLflow. A finished experiment is fetched back into the main repository.
Each clone runs one experiment at a time: two `dvc exp run --temp` in one repository take each other's entries.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fakeprint.errors import InputError, first_few
from fakeprint.files import remove, written
from fakeprint.studies.experiments import cache_folder, git
from fakeprint.studies.runners import Job
from fakeprint.studies.runners.processes import PYTHON, environment
from fakeprint.studies.store import Store

# A cell is keyed by these files at HEAD, and a clone has no others.
CODE = ("src", "stages", "dvc.yaml", "data/demo/dvc.yaml", "data/demo/params.yaml", ".dvc/config", ".dvcignore")
GIVEN = ("data/weights", "data/verdicts")  # files there may be the user's own, which git does not know
IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "fakeprint study"), ("EMAIL", "study@localhost"))
}


def require_committed(root: Path) -> None:
    """Raises InputError where code has changes that a clone would not have."""
    lines = git(root, "status", "--porcelain", "--", *CODE).splitlines()
    if lines:
        names = [line[3:] for line in lines]
        raise InputError(f"{first_few(names)} differs from HEAD, but cells run the code at HEAD: commit or stash it")


def head(root: Path) -> str:
    """The commit that cells run, and whose experiments they are."""
    return git(root, "rev-parse", "HEAD").strip()


def variables(root: Path) -> dict[str, str]:
    """The environment of DVC in a clone: MLflow is the main repository's, and commits have an author."""
    known = subprocess.run(["git", "config", "user.email"], cwd=root, capture_output=True).returncode == 0
    identity = {} if known else {name: value for name, value in IDENTITY.items() if name not in os.environ}
    return environment({"FAKEPRINT_TRACKING_FOLDER": str(root), **identity})


def prepared(store: Store, number: int) -> Path:
    """A clone at the main repository's HEAD, made or brought up to date. What a killed run left there is removed."""
    root, folder = store.root, store.clone(number)
    if not (folder / ".git").exists():
        remove(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        git(root, "clone", "--quiet", "--no-checkout", str(root), str(folder))
    for leftover in (".dvc/tmp/lock", ".dvc/tmp/rwlock", ".dvc/tmp/rwlock.lock", ".git/index.lock"):
        remove(folder / leftover)
    git(folder, "fetch", "--quiet", str(root), "HEAD")
    git(folder, "checkout", "--quiet", "--force", "--detach", head(root))
    git(folder, "clean", "--quiet", "-fd")
    _configure(root, folder)
    scratch = folder / ".fakeprint"  # resume checkpoints: whichever clone a cell goes on in, it finds its own
    if not scratch.is_symlink():
        remove(scratch)
        (store.folder / "scratch").mkdir(exist_ok=True)
        scratch.symlink_to(store.folder / "scratch", target_is_directory=True)
    take_experiments(root, folder)
    return folder


def _configure(root: Path, folder: Path) -> None:
    """DVC's local configuration, as in the main repository, with its cache."""
    local = root / ".dvc" / "config.local"
    if local.exists():
        shutil.copy2(local, folder / ".dvc" / "config.local")
    else:
        remove(folder / ".dvc" / "config.local")
    command = [str(PYTHON), "-m", "dvc", "cache", "dir", "--local", str(cache_folder(root))]
    done = subprocess.run(command, cwd=folder, env=variables(root), capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"dvc cache dir: {' '.join(done.stderr.split())}")
    for name in ("user.name", "user.email"):
        value = subprocess.run(["git", "config", name], cwd=root, capture_output=True, text=True).stdout.strip()
        if value:
            git(folder, "config", name, value)


def remove_leftovers(folder: Path) -> None:
    """Remove entries and folders of `dvc exp run --temp` that was killed in this clone: DVC would run them first."""
    git(folder, "update-ref", "-d", "refs/exps/stash")
    for path in (".dvc/tmp/exps/standalone", ".dvc/tmp/exps/run", ".dvc/tmp/rwlock", ".dvc/tmp/lock"):
        remove(folder / path)


def write_cell(folder: Path, job: Job) -> None:
    """Write a cell's params.yaml into a clone, and a dvc.lock with the stages that the cell has.

    DVC reads and writes the whole dvc.lock after each stage: with the stages of every other model, 2 seconds each.
    """
    yaml = YAML(typ="safe")
    with written(folder / "params.yaml") as partial:
        partial.write_text(job.text, encoding="utf-8")
    if not git(folder, "ls-tree", "HEAD", "dvc.lock").strip():
        return
    described = yaml.load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    names = stage_names(described, yaml.load(job.text))
    locked = yaml.load(git(folder, "show", "HEAD:dvc.lock"))
    locked["stages"] = {name: stage for name, stage in locked["stages"].items() if name in names}
    with written(folder / "dvc.lock") as partial, partial.open("w", encoding="utf-8") as file:
        yaml.dump(locked, file)


def stage_names(described: dict[str, Any], content: dict[str, Any]) -> set[str]:
    """Names of all stages with these parameters, `fit@lda` where a stage runs for each of several.

    Args:
        described: `stages` of dvc.yaml.
        content: params.yaml.
    """
    names = set()
    for name, stage in described.items():
        if "foreach" not in stage:
            names.add(name)
            continue
        items = content
        for key in stage["foreach"].strip("${}").split("."):
            items = items[key]
        names |= {f"{name}@{item}" for item in items or []}
    return names


def given_files(root: Path) -> list[str]:
    """The user's own weights and verdicts, which DVC copies into an experiment's folder."""
    listed = git(root, "ls-files", "--others", "-z", "--", *GIVEN)
    return [name for name in listed.split("\0") if name]


def copy_given(root: Path, folder: Path) -> list[str]:
    """Copy these files into a clone; their names."""
    names = given_files(root)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / name)
    return names


def take_experiments(root: Path, folder: Path) -> None:
    """Move a clone's finished experiments into the main repository, where `dvc exp show` finds them."""
    for reference in finished(folder):
        git(root, "fetch", "--quiet", "--no-write-fetch-head", str(folder), f"+{reference}:{reference}")
        git(folder, "update-ref", "-d", reference)


def finished(folder: Path) -> list[str]:
    """References of the experiments in a clone, without DVC's own."""
    listed = git(folder, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return [name for name in listed if len(name.split("/")) == 5 and len(name.split("/")[2]) == 2]
