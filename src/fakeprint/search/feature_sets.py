"""Feature sets that a search computes, kept between its trials up to a number of bytes."""

import json
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from fakeprint.blocks import Source
from fakeprint.data.arrays import COPIES, load_split
from fakeprint.data.crops import even_crops

LIMIT = 2**30  # bytes of arrays that the trial at hand does not need


class Wanted(NamedTuple):
    """One set of all train images or copies.

    options: as JSON. part: "train" or "augmented". crops: side, and how many there are of an image at most, where
    images are kept whole.
    """

    name: str
    options: str
    part: str
    crops: tuple[int, int]


class FeatureSets:
    """Sets by what they are computed from, those that were used last at the end."""

    def __init__(self) -> None:
        self._kept: dict[Wanted, Source] = {}

    def make_room(self, needed: Iterable[Wanted]) -> None:
        """Drop arrays that are not needed now, the longest unused first, until the others of them are in `LIMIT`."""
        now = set(needed)
        others = [(key, source) for key, source in self._kept.items() if key not in now]
        sizes = {key: source.nbytes for key, source in others if isinstance(source, np.ndarray)}
        surplus = sum(sizes.values()) - LIMIT
        for key, size in sizes.items():
            if surplus <= 0:
                return
            del self._kept[key]
            surplus -= size

    def of(self, wanted: Wanted, workers: int | None) -> Source:
        """The set, float32 (N, D): the stage's file if it was made with these options, else computed once and kept."""
        source = self._kept.pop(wanted, None)
        self._kept[wanted] = found = _stored_or_computed(wanted, workers) if source is None else source
        return found


def _stored_or_computed(wanted: Wanted, workers: int | None) -> Source:
    from fakeprint.features import extract_parallel
    from fakeprint.features.files import FEATURES, load_options

    name, options, part, crops = wanted
    chosen, stored = json.loads(options), FEATURES / name / f"{part}.npy"
    images = even_crops(load_split("train").images, *crops) if part == "train" else np.load(COPIES, mmap_mode="r")
    if stored.exists() and load_options([name])[name] == chosen and len(np.load(stored, mmap_mode="r")) == len(images):
        return stored
    return extract_parallel(name, chosen, images, workers, f"{name} {options}")
