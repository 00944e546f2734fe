"""Progress of long loops: a bar on a terminal, a line now and then in a log."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "image") -> Iterator[T]:
    """Yield the items, showing count, rate and time left on stderr; a line each 10 s where that is no terminal."""
    return iter(tqdm(items, desc=what, total=total, unit=unit, mininterval=0.5 if sys.stderr.isatty() else 10.0))
