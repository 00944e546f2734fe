"""Which feature set moved a classifier's answer, and the features in which it finds images near."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fakeprint.blocks import Rows
from fakeprint.features import extract_blocks, extract_sets, size
from fakeprint.features.files import FEATURES
from fakeprint.files import read_json
from fakeprint.models.classifiers.files import FittedClassifier
from fakeprint.models.classifiers.neighbours import Neighbours
from fakeprint.models.classifiers.scaling import as_fitted

LOWEST = 1e-300  # of probabilities whose logarithm is taken, where they are not shares of votes
MOST = 2**27  # bytes of features of a batch


def log_odds(probabilities: np.ndarray, answers: np.ndarray, floor: float = LOWEST) -> np.ndarray:
    """ln(p / (1 − p)) of one class per row, float64 (N,); p and 1 − p are at least `floor`.

    probabilities: float64 (N, C); answers: class indices, int (N,). 1 − p is the sum of the other classes, which is
    exact where p is so close to 1 that it is rounded.
    """
    rows = np.arange(len(answers))
    others = probabilities.copy()
    others[rows, answers] = 0
    return np.log(np.maximum(probabilities[rows, answers], floor)) - np.log(np.maximum(others.sum(axis=1), floor))


@dataclass(frozen=True)
class ClassifierParts:
    """A fitted classifier. shape: (S, S, 3) of its images."""

    fitted: FittedClassifier
    shape: tuple[int, int, int]
    columns: dict[str, slice] = field(default_factory=dict)

    @classmethod
    def of(cls, fitted: FittedClassifier) -> "ClassifierParts":
        """Find out which columns belong to which feature set."""
        side = fitted.description["dataset"]["image_size"]
        columns, first = {}, 0
        for name, options in fitted.features.items():
            width = size(name, options, (side, side, 3))
            columns[name] = slice(first, first + width)
            first += width
        return cls(fitted, (side, side, 3), columns)

    def features(self, images: np.ndarray) -> np.ndarray:
        """The concatenated features float32 (N, D) of images uint8 (N, S, S, 3)."""
        return extract_sets(self.fitted.features, images)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """The classifier's own probabilities, float64 (N, C)."""
        return self.fitted.probabilities(features)

    def rooted(self, features: np.ndarray) -> np.ndarray:
        """Features float32 (N, D), or their square roots with the sign kept, where the classifier's block says so."""
        return as_fitted(Rows.of(features), self.fitted.description["settings"]["scale"]).whole()

    def unrooted(self, rooted: np.ndarray) -> np.ndarray:
        """The features, float (N, D) or (D,), of which `rooted` gives these."""
        is_rooted = self.fitted.description["settings"]["scale"].startswith("sqrt")
        return np.copysign(rooted**2, rooted) if is_rooted else rooted

    def standardised(self, rooted: np.ndarray) -> np.ndarray:
        """What `rooted` gives, float32 (N, D), standardised where the classifier's block says so."""
        model = self.fitted.model
        if isinstance(model, Neighbours):
            return ((rooted - model.mean) / model.scale).astype(np.float32)
        scaler = model.named_steps.get("scale")
        return rooted if scaler is None else np.asarray(scaler.transform(rooted), dtype=np.float32)

    @property
    def floor(self) -> float:
        """The least probability whose logarithm is taken: half a vote of neighbours or trees, which may be 0 of all."""
        settings = self.fitted.description["settings"]
        votes = {"knn": self.fitted.description.get("chosen", {}).get("k"), "forest": settings.get("trees")}
        count = votes.get(settings["method"])
        return 1 / (2 * count) if count else LOWEST

    def effects(self, features: np.ndarray, answers: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
        """What each feature set did to the answer, float64 (N,) by the set's name.

        It is the log-odds of the answer minus the log-odds that the classifier gives to the same class when all numbers
        of this set are replaced by their mean over train. Above 0, the set spoke for the answer. The effects of several
        sets do not add up to a whole.

        features: float32 (N, D); answers: class index of each, int (N,); mean: float (D,), over train, of the numbers
        as `rooted` gives them: a mean of sparse histograms is like none of them, that of their roots less so.
        """
        replacement = self.unrooted(mean)
        full = log_odds(self.probabilities(features), answers, self.floor)
        found = {}
        for name, columns in self.columns.items():
            changed = features.copy()
            changed[:, columns] = replacement[columns]
            found[name] = full - log_odds(self.probabilities(changed), answers, self.floor)
        return found

    def train_blocks(self, images: np.ndarray, workers: int | None, stored: Path = FEATURES) -> Iterator[np.ndarray]:
        """The features of all train images, in blocks float32 (n, D): those on disk if they are the same sets."""
        sets = self.fitted.features
        if all(self._is_stored(name, options, len(images), stored) for name, options in sets.items()):
            rows = Rows((tuple(stored / name / "train.npy" for name in sets),))
            return (block for _, block in rows.blocks(min(rows.block_rows, max(1, MOST // (4 * rows.shape[1])))))
        return extract_blocks(sets, images, workers, f"features of train for {self.fitted.description['name']}")

    def _is_stored(self, name: str, options: dict[str, Any], count: int, stored: Path) -> bool:
        described, rows = stored / name / "features.json", stored / name / "train.npy"
        if not (described.exists() and rows.exists()):
            return False
        return bool(read_json(described)["options"] == options) and len(np.load(rows, mmap_mode="r")) == count


class Mean:
    """The mean of each column, float64 (D,), of blocks that pass through."""

    def __init__(self) -> None:
        self._total: np.ndarray | float = 0.0
        self._count = 0

    def of(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The same blocks, counted."""
        for block in blocks:
            self._total = self._total + block.sum(axis=0, dtype=np.float64)
            self._count += len(block)
            yield block

    @property
    def value(self) -> np.ndarray:
        """Of all blocks so far; at least one."""
        return np.asarray(self._total) / self._count
