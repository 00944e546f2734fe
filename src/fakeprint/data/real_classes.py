"""Which classes are real, so that all others are fake."""

import re

from fakeprint.errors import InputError
from fakeprint.params import suggestion

REAL = re.compile(r"(\d+_)?(real|nature)", re.IGNORECASE)  # nature: GenImage; 0_real: CNNDetection


def real_classes(requested: list[str | int] | None, classes: list[str], names: list[str]) -> list[int]:
    """Indices of the real classes, ascending; empty if none is, and then there are no figures of a detector.

    Args:
        requested: labels, `data.real_classes`. None: the classes whose label or name `is_real`, or none if that would
            be all.
        classes: all labels of the source.
        names: the name of each in reports.

    Raises:
        InputError: a requested class does not exist, or all classes are requested.
    """
    if requested is None:
        return _by_name(classes, names)
    labels = {str(label) for label in requested}
    for label in sorted(labels):
        if label not in classes:
            raise InputError(f"data.real_classes: the source has no class '{label}'{suggestion(label, classes)}")
    if len(labels) == len(classes):
        raise InputError("data.real_classes lists all classes of the source; remove those that are fake")
    return [index for index, label in enumerate(classes) if label in labels]


def is_real(name: str) -> bool:
    """Whether a name means photographs: real or nature, also 0_real, in any case."""
    return REAL.fullmatch(name) is not None


def _by_name(classes: list[str], names: list[str]) -> list[int]:
    indices = [index for index, shown in enumerate(zip(classes, names, strict=True)) if any(map(is_real, shown))]
    return indices if len(indices) < len(classes) else []
