"""Copied into the `src` of a clone, where every Python process of a stage imports it as it starts: what does it read?

FAKEPRINT_TRACE: a folder outside the clone that gets a file of lines for each process, named after the stage; `file
PATH` for each file of the clone that it opens to read, `param KEY` for each parameter that it looks at. Python's audit
hooks see every file that Python opens, modules included; what pyarrow reads in C++ is noted where it is called.
FAKEPRINT_KILL: an output of a stage. The process that is about to move it into place kills its whole process group,
which is DVC's. FAKEPRINT_GROUP: that group, where the process is a fork of preloaded.py.
"""

import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = f"{Path(__file__).resolve().parents[1]}{os.sep}"
AS_A_WHOLE = ("model_dump", "model_dump_json", "model_copy", "__dict__", "__getstate__")


class Notes:
    """The lines of this process, each once."""

    def __init__(self, folder: str) -> None:
        stage = os.environ["DVC_STAGE"].split(":")[-1]
        self._file = os.open(f"{folder}/{stage}.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._lines: set[str] = set()

    def add(self, line: str) -> None:
        if line not in self._lines:
            self._lines.add(line)
            os.write(self._file, f"{line}\n".encode())


class AfterImport:
    """A finder that lets the usual ones find these modules, and calls a function with each as soon as it is loaded."""

    def __init__(self, then: dict[str, Callable[[Any], None]]) -> None:
        self._then = then

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in self._then:
            return None
        then = self._then.pop(name)
        spec: Any = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def traced(module: Any) -> None:
            execute(module)
            then(module)

        spec.loader.exec_module = traced
        return spec


class TraceParams:
    """Has the blocks of fakeprint.params note what is looked up in them, once they are loaded."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._places: dict[int, tuple[str, Any]] = {}  # the blocks too, so that no other gets the number of one

    def __call__(self, module: Any) -> None:
        load, get = module.load, module.Block.__getattribute__

        def traced_load(*arguments: Any) -> Any:
            settings = load(*arguments)
            self._remember(settings, "", module.Block)
            return settings

        def traced_get(block: Any, name: str) -> Any:
            value = get(block, name)
            if id(block) in self._places and not name.startswith("model_fields"):
                prefix = self._places[id(block)][0]
                if name in AS_A_WHOLE:
                    self._notes.add(f"param {prefix}*")
                elif name in type(block).model_fields and not _holds_blocks(value, module.Block):
                    self._notes.add(f"param {prefix}{type(block).model_fields[name].alias or name}")
            return value

        module.load, module.Block.__getattribute__ = traced_load, traced_get

    def _remember(self, block: Any, prefix: str, kind: type) -> None:
        for name, value in vars(block).items():
            key = f"{prefix}{type(block).model_fields[name].alias or name}."
            for inner_key, inner in value.items() if isinstance(value, dict) else [("", value)]:
                if isinstance(inner, kind):
                    self._remember(inner, key + f"{inner_key}." * bool(inner_key), kind)
        self._places[id(block)] = (prefix, block)


def _holds_blocks(value: Any, kind: type) -> bool:
    return isinstance(value, kind) or (
        isinstance(value, dict) and any(isinstance(each, kind) for each in value.values())
    )


def trace(notes: Notes) -> None:
    def note(file: Any) -> None:
        if isinstance(file, str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(file))  # noqa: PTH100 -- Path would cost more, at every file
            if path.startswith(ROOT) and os.path.isfile(path):  # noqa: PTH113
                notes.add(f"file {path.removeprefix(ROOT)}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_CREAT):
            note(arguments[0])

    def parquet(module: Any) -> None:
        read = module.read_table

        def traced(source: Any, *arguments: Any, **options: Any) -> Any:
            note(source)
            return read(source, *arguments, **options)

        module.read_table = traced

    sys.addaudithook(hook)
    if "pyarrow.parquet" in sys.modules:  # in a fork of preloaded.py
        parquet(sys.modules["pyarrow.parquet"])
    after = AfterImport({"fakeprint.params": TraceParams(notes), "pyarrow.parquet": parquet})
    sys.meta_path.insert(0, after)  # type: ignore[arg-type]


def kill_before(output: str) -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and os.path.abspath(os.fsdecode(arguments[1])) == ROOT + output:  # noqa: PTH100
            os.killpg(int(os.environ.get("FAKEPRINT_GROUP", "0")), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if "FAKEPRINT_TRACE" in os.environ and "DVC_STAGE" in os.environ:
    trace(Notes(os.environ["FAKEPRINT_TRACE"]))
if "FAKEPRINT_KILL" in os.environ:
    kill_before(os.environ["FAKEPRINT_KILL"])
