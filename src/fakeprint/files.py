"""Outputs appear whole or not at all: written to a temporary name beside the target, then moved into place.

A process that is killed leaves its temporary file or folder behind; the next output written beside it removes that. The
name says who writes, `.TARGET.PID-START@HOST.partial`, so that nothing is taken from a process that lives.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WRITER = re.compile(r"\.(\d+)-(\d+)@(.+)\.partial")
UNTOLD = 0  # no process that writes here starts with the kernel
LONGEST_WRITE = 24 * 3600.0  # seconds; another machine's processes cannot be looked up, so its files count by their age


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path (same suffix) to write to; on success it replaces `path`, on an error it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    partial = path.with_name(f".{path.stem}.{_writer()}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def written_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it replaces what `path` is, on an error it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    partial = path.with_name(f".{path.name}.{_writer()}.partial")
    partial.mkdir()
    try:
        yield partial
        remove(path)
        partial.replace(path)
    finally:
        remove(partial)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose writer is dead."""
    for path in folder.glob(".*.partial*"):
        writer = WRITER.search(path.name)
        if writer and _is_dead(path, int(writer[1]), int(writer[2]), writer[3]):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _writer() -> str:
    return f"{os.getpid()}-{started(os.getpid())}@{platform.node()}"


def _is_dead(path: Path, pid: int, start: int, host: str) -> bool:
    """Whether the writer has ended. Another process that has its number by now started at another time."""
    if host == platform.node():
        now = started(pid)
        return now is None or now not in (start, UNTOLD)
    try:
        newest = max(each.stat().st_mtime for each in [path, *path.rglob("*")])
    except FileNotFoundError:  # moved into place meanwhile
        return False
    return time.time() - newest > LONGEST_WRITE


def started(pid: int) -> int | None:
    """When a process of this machine started, in ticks since boot; `UNTOLD`: nothing says so; None: it has ended."""
    if Path("/proc/self/stat").exists():
        try:
            # as bytes: the name in it is cut where 15 bytes end, be it within a letter
            state, *fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return None if state in b"ZX" else int(fields[18])  # Z, X: ended, its parent has not noticed yet
        except ProcessLookupError:
            return None
        except OSError:  # of other users /proc may show nothing
            pass
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return UNTOLD


def main_root(here: Path | None = None) -> Path:
    """The repository's root; from DVC's copy of it under `.dvc/tmp/exps`, that of the repository the copy is of."""
    here = (here or Path.cwd()).resolve()
    for folder in here.parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return here


def write_json(path: str | Path, content: Any) -> None:
    """Write indented JSON. Keys keep their order; NaN is refused, for `dvc metrics` cannot read it."""
    with written(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_csv(path: str | Path, table: "pd.DataFrame", index: bool = False) -> None:
    """Write a table as CSV, with line feeds on every system. index: with its index as the first column."""
    with written(path) as partial:
        table.to_csv(partial, index=index, lineterminator="\n")


def write_figure(path: str | Path, figure: "Figure", dpi: int = 120, tight: bool = True) -> None:
    """Write a PNG without anything that differs from run to run. tight: cut off the empty border."""
    with written(path) as partial:
        figure.savefig(partial, dpi=dpi, bbox_inches="tight" if tight else None, metadata={"Software": None})


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
