"""The pipeline's own files, dvc.yaml, presets and stages: those of the repository, or of the installed package."""

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import fakeprint
from fakeprint.errors import InputError

PACKAGE = Path(fakeprint.__file__).parent
NOT_NEEDED = ("pipeline", "service", "shipped")  # of the package, by the stages


def root() -> Path:
    """The folder with dvc.yaml and presets.

    Raises:
        InputError: there is none, as in an incomplete copy of the package.
    """
    for folder in (PACKAGE / "pipeline", *PACKAGE.parents[1:2]):
        if (folder / "dvc.yaml").is_file() and (folder / "presets" / "demo.yaml").is_file():
            return folder
    raise InputError(f"{PACKAGE} comes without the pipeline's files: install Fakeprint again, from a wheel or a clone")


def presets() -> dict[str, Path]:
    """The presets by name, the demo first."""
    files = {file.stem: file for file in sorted((root() / "presets").glob("*.yaml"))}
    return {"demo": files.pop("demo"), **files}


def copy_to(folder: Path) -> None:
    """Copy the pipeline's files into a folder, and the package to `src` there: its stages import it from there."""
    for source, name in _files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def not_needed(place: str, names: list[str]) -> list[str]:
        return [name for name in names if name in NOT_NEEDED] if Path(place) == PACKAGE else []

    # with the compiled files beside the sources: DVC ignores them, and no stage compiles the package again
    shutil.copytree(PACKAGE, folder / "src" / "fakeprint", ignore=not_needed)


def _files() -> Iterator[tuple[Path, str]]:
    place = root()
    if place.parent == PACKAGE:
        yield from ((path, path.name) for path in place.iterdir())
        return
    settings = tomllib.loads((place / "pyproject.toml").read_text(encoding="utf-8"))
    yield from ((place / name, name) for name in settings["tool"]["fakeprint"]["pipeline"])
