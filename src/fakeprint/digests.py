"""Digests of files, folders and models."""

import hashlib
from pathlib import Path

from fakeprint.files import read_json

PREDICTIONS = Path("data/predictions")  # as in `evaluation.predictions`, whose import takes half a second
EVALUATED = Path("data/evaluated")


def explained_name(name: str) -> str:
    """The file in `EVALUATED` with the digests of a model's page, beside NAME.json."""
    return f"{name}.explained.json"


def md5(path: Path) -> str:
    """The md5 of a file, or of a folder's names and files; DVC's own for a file."""
    if path.is_dir():
        return md5_of({file.relative_to(path).as_posix(): md5(file) for file in files_of(path)})
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def md5_of(texts: dict[str, str]) -> str:
    """One md5 of several named texts, in any order."""
    lines = [f"{name} {text}" for name, text in sorted(texts.items())]
    return hashlib.md5("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


def files_of(folder: Path) -> list[Path]:
    """The files in a folder and below, sorted, without DVC's .gitignore."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != ".gitignore")


def model_digest(model_folder: Path) -> str:
    """A digest of a model's files; for an ensemble of its predictions too, since its files only name the members."""
    files = {file.relative_to(model_folder).as_posix(): file for file in files_of(model_folder)}
    description = model_folder / "model.json"
    if description.exists() and read_json(description).get("kind") == "ensemble":
        files["predictions"] = PREDICTIONS / f"{model_folder.name}.parquet"
    return md5_of({name: md5(file) for name, file in files.items()})
