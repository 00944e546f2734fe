"""Names in params.yaml: which may name a model, and suggestions for names that are unknown."""

import difflib
import re
from collections.abc import Iterable, Sequence

# A model's name is a folder, a word of a shell command and part of an MLflow filter.
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Names that are used beside the models in models/, metrics/, reports/ and data/, or have a meaning in a command.
RESERVED = (
    *("calibration", "champion", "confusion", "cross_generator", "decision", "degraded", "demo", "explain"),
    *("leaderboard", "open_world", "reliability", "risk_coverage", "robustness", "roc", "unknown", "validate"),
)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: `; did you mean 'x'?`, or `; known: …` if none is similar."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known) or 'none'}"


def require_known(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError where one of `names`, which params.yaml lists at `key`, is not in `known`."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{key}: '{name}' is unknown{suggestion(name, known)}")


def class_index(key: str | int, classes: Sequence[str]) -> int | None:
    """The class that a key names, by its label, or by `#N`, its number from 0 whatever the labels are; None if unknown.

    classes: labels in the order of the confusion matrix.
    """
    if str(key) in classes:
        return list(classes).index(str(key))
    number = str(key).removeprefix("#")
    numbered = str(key).startswith("#") and number.isdecimal() and int(number) < len(classes)
    return int(number) if numbered else None
