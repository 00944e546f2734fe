"""Files are written completely or not at all: to a temporary name in the same folder, then moved into place.

A killed process leaves its temporary file or folder behind; the next write in that folder removes it. The name
`.TARGET.TOKEN.PID-START@HOST.partial` identifies the writing process, so that nothing is removed while it runs; the
token is a new one each time, so that threads can write the same file.
"""

import hashlib
import json
import os
import platform
import re
import secrets
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
UNKNOWN = 0  # start time of a process that cannot be read; no real process starts at 0
BORDER = 0.1  # inches around a figure whose empty border is cut off
TIDY_AGAIN = 10.0  # seconds until a folder that was written to is looked through again
_tidied: tuple[Path, float] = (Path(), 0.0)  # the folder that was looked through last, and when
LONGEST_WRITE = 24 * 3600.0  # seconds; another machine's processes cannot be checked, so the age of its files decides


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; on success it replaces `path`, on an error it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path.parent)
    partial = path.with_name(f".{path.stem}.{_writer()}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def share(path: Path) -> None:
    """Let whoever may read the folder read this file in it: safetensors writes files that only their owner can read."""
    path.chmod(path.parent.stat().st_mode & 0o666)


@contextmanager
def written_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it replaces `path`, on an error it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path.parent)
    partial = path.with_name(f".{path.name}.{_writer()}.partial")
    partial.mkdir()
    try:
        yield partial
        remove(path)
        partial.replace(path)
    finally:
        remove(partial)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder in `parent` that is removed in the end; what dead processes left there is removed, too."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(parent)
    folder = parent / f".{_writer()}.partial"
    folder.mkdir()
    try:
        yield folder
    finally:
        remove(folder)


def _tidy(folder: Path) -> None:
    """Remove what was abandoned in `folder`, unless this process has just done so: a folder may get a million files."""
    global _tidied
    if _tidied[0] != folder or time.monotonic() - _tidied[1] > TIDY_AGAIN:
        _tidied = (folder, time.monotonic())
        remove_abandoned(folder)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose process has ended."""
    for path in folder.glob(".*.partial*"):
        writer = WRITER.search(path.name)
        if writer and _is_dead(path, int(writer[1]), int(writer[2]), writer[3]):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _writer() -> str:
    return f"{secrets.token_hex(4)}.{os.getpid()}-{started(os.getpid())}@{platform.node()}"


def _is_dead(path: Path, pid: int, start: int, host: str) -> bool:
    """Whether the writing process has ended; a later process with its number has another start time."""
    if host == platform.node():
        now = started(pid)
        return now is None or now not in (start, UNKNOWN)
    try:
        newest = max(each.stat().st_mtime for each in [path, *path.rglob("*")])
    except FileNotFoundError:  # moved into place meanwhile
        return False
    return time.time() - newest > LONGEST_WRITE


def started(pid: int) -> int | None:
    """Start time of a process of this machine in ticks since boot, or `UNKNOWN`; None if it has ended."""
    if Path("/proc/self/stat").exists():
        try:
            # as bytes: the process name is cut after 15 bytes, possibly within a character
            state, *fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return None if state in b"ZX" else int(fields[18])  # Z, X: ended, but not yet collected by its parent
        except ProcessLookupError:
            return None
        except OSError:  # /proc may hide processes of other users
            pass
    try:
        os.kill(pid, 0)  # signal 0 only checks that the process exists
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return UNKNOWN


def main_root(here: Path | None = None) -> Path:
    """The repository's root; from DVC's copy of it under `.dvc/tmp/exps`, that of the repository the copy is of."""
    here = (here or Path.cwd()).resolve()
    for folder in here.parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return here


def write_json(path: str | Path, content: Any) -> None:
    """Write indented JSON. Keys keep their order; NaN raises ValueError, because `dvc metrics` cannot read it."""
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
    """Write a PNG whose bytes are the same in every run. tight: cut off the empty border."""
    figure.set_dpi(dpi)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")  # `savefig` would draw everything once more to lay it out again
    box = figure.get_tightbbox().padded(BORDER) if tight else None
    with written(path) as partial:
        figure.savefig(partial, dpi=dpi, bbox_inches=box, metadata={"Software": None})


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
