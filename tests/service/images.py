"""Small images of two classes, one with lines that a classifier finds, and archives of them."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def png(number: int, label: str, side: int = 32) -> bytes:
    """A noisy image; of the class `stripes`, every second column is darker."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(60, 200, (side, side, 3))
    if label == "stripes":
        pixels[:, ::2] -= 50
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def samples(each: int, first: int = 0) -> list[tuple[str, bytes]]:
    """(label, content) of `each` images of both classes in turn."""
    return [(label, png(first + 2 * n + k, label)) for n in range(each) for k, label in enumerate(("plain", "stripes"))]


def zip_of(members: dict[str, bytes]) -> bytes:
    """A .zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # of 1980: equal members make equal archives
    return file.getvalue()


def tar_of(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    """A .tar, or a compressed one."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def class_folders(each: int) -> dict[str, bytes]:
    """Name → content of class folders."""
    return {f"{label}/{n}.png": content for n, (label, content) in enumerate(samples(each))}


def files_below(folder: Path) -> set[str]:
    """Every file below a folder, but locks and the database."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        p.relative_to(folder).as_posix() for p in found if not p.name.endswith((".lock", ".db", ".db-shm", ".db-wal"))
    }
