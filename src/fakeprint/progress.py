"""Progress bars of long loops, on a terminal only: a log has no use for them."""

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
    """Show no bars inside the context, where loops are many and short."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "image") -> Iterator[T]:
    """Yield the items. On a terminal, a bar on stderr shows count, rate and time left.

    Args:
        items: any iterable.
        what: the text before the bar.
        total: number of items, where `len(items)` does not say so.
        unit: what one item is called.
    """
    silent = _silent.get() or not sys.stderr.isatty()
    return iter(tqdm(items, desc=what, total=total, unit=unit, mininterval=0.5, disable=silent))
