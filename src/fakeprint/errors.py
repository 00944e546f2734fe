"""One clear line for bad input, instead of a traceback."""

import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec

P = ParamSpec("P")


class InputError(ValueError):
    """The user's data, parameters or command cannot be used as they are.

    The message is one line that names the file or key and the fix.
    """


def one_line_errors(main: Callable[P, None]) -> Callable[P, None]:
    """Make an entry point print an `InputError` as one line on stderr and exit with code 1."""

    @functools.wraps(main)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            main(*args, **kwargs)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    return guarded


def first_few(names: Iterable[object], most: int = 5) -> str:
    """The first names of a list that may be long: `a, b, c, … (12 in all)`."""
    listed: Sequence[str] = [printable(str(name)) for name in names]
    shown = ", ".join(listed[:most])
    return shown if len(listed) <= most else f"{shown}, … ({len(listed)} in all)"


def printable(text: str) -> str:
    """The text on one line: line breaks and characters that are not printable are escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
