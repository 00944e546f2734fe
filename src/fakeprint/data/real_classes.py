"""Which classes are real, so that all others are fake."""

import re

from fakeprint.errors import InputError
from fakeprint.params import near

REAL = re.compile(r"(\d+_)?(real|nature)", re.IGNORECASE)  # nature: GenImage; 0_real: CNNDetection


def real_classes(requested: list[str | int] | None, classes: list[str], names: list[str]) -> list[int]:
    """Indices of the real classes, ascending; empty where none is, and then no detector's figures are given.

    Args:
        requested: `data.real_classes`, labels. Where it is None, real are the classes whose label or name `is_real`, or
            none if that would be all.
        classes: all labels of the source.
        names: what reports call each.

    Raises:
        InputError: a class is requested that is not there, or all are.
    """
    if requested is None:
        return _by_name(classes, names)
    wanted = {str(label) for label in requested}
    for label in sorted(wanted):
        if label not in classes:
            raise InputError(f"data.real_classes: the source has no class '{label}'{near(label, classes)}")
    if len(wanted) == len(classes):
        raise InputError("data.real_classes names all classes of the source: leave out those that are fake")
    return [index for index, label in enumerate(classes) if label in wanted]


def is_real(name: str) -> bool:
    """Is this the class of photographs, by its name: real or nature, also 0_real, in any case?"""
    return REAL.fullmatch(name) is not None


def _by_name(classes: list[str], names: list[str]) -> list[int]:
    found = [index for index, shown in enumerate(zip(classes, names, strict=True)) if any(map(is_real, shown))]
    return found if len(found) < len(classes) else []
