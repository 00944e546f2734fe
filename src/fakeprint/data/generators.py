"""Sources that name a generator and a label such as real or fake: GEN/{train,val}/{ai,nature}, as in GenImage."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fakeprint.data.real_classes import is_real
from fakeprint.errors import InputError, first_few

IMAGENET = re.compile(r"imagenet_(?:ai_)?(?:\d{4}_)?(.+)", re.IGNORECASE)
DEEPEST = 3  # folders above and including the split's: GEN/train, or GEN/imagenet_ai_0419_GEN/train


def generator_splits(inside: Sequence[Sequence[str]], split_names: Mapping[str, str], path: Path) -> list[int | None]:
    """The position of the split among the folders of each image, for a source with generator folders on top.

    All are None if no top folder has splits inside: then these folders are classes.

    Args:
        inside: the folders of each image, from the top.
        split_names: the split by the lower-case name of its folder.
        path: of the source.

    Raises:
        InputError: only some top folders have splits inside, or one has the name of the real class and holds another
            class.
    """
    places = [
        next((place for place in range(1, min(DEEPEST, len(each))) if each[place].lower() in split_names), None)
        for each in inside
    ]
    inner = [(each, place) for each, place in zip(inside, places, strict=True) if place is not None]
    with_splits = {each[0] for each, _ in inner}
    without = list(dict.fromkeys(each[0] for each in inside if each and each[0] not in with_splits))
    classes = [each[0] for each, place in inner if is_real(each[0]) and not any(map(is_real, each[place + 1 :]))]
    if inner and (without or classes):
        each, place = inner[0]
        reason = f"{first_few(without)} has no splits" if without else f"{classes[0]} is the name of a class"
        raise InputError(
            f"{path}: {'/'.join(each[: place + 1])} looks like a split of a generator, but {reason}; use "
            "GENERATOR/train/CLASS/ for every generator, or train/CLASS/, or rename the folder"
        )
    return places


def generator_names(folders: Iterable[str]) -> dict[str, str]:
    """The name of each folder's generator: biggan for imagenet_ai_0419_biggan, if no other folder has that name."""
    short = {folder: match[1] if (match := IMAGENET.fullmatch(folder)) else folder for folder in set(folders)}
    called = list(short.values())
    return {folder: name if called.count(name) == 1 else folder for folder, name in short.items()}
