"""Progress of long loops: a bar on a terminal, a line now and then in a log."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

_silent = ContextVar("silent", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Show no progress inside the context, where loops are many and short."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "image") -> Iterator[T]:
    """Yield the items, showing count, rate and time left on stderr; a line each 10 s where that is no terminal."""
    seconds = 0.5 if sys.stderr.isatty() else 10.0
    return iter(tqdm(items, desc=what, total=total, unit=unit, mininterval=seconds, disable=_silent.get()))
