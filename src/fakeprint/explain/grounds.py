"""The numbers behind the answers: members' probabilities, feature sets' effects, maps' layer, nearest train images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fakeprint.blocks import remapped
from fakeprint.explain.feature_sets import ClassifierParts, Mean
from fakeprint.explain.maps import NetworkParts
from fakeprint.explain.nearest import nearest
from fakeprint.explain.opened import OpenModel
from fakeprint.progress import track

BATCH = 64  # images in memory at a time

ReadImages = Callable[[np.ndarray], np.ndarray]  # row numbers (n,) → uint8 (n, S, S, 3)


@dataclass(frozen=True)
class Train:
    """The train images. images: uint8 (N, S, S, 3), memory-mapped; image_ids: str (N,); labels: int64 (N,)."""

    images: np.ndarray
    image_ids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Grounds:
    """What lies behind the answers to M images.

    members: of an ensemble, each member's probabilities float64 (M, C), by its name. effects: by the name of a feature
    set, float64 (M,). rows, distances: of the nearest train images, int64 and float32 (M, k); None without them.
    """

    members: dict[str, np.ndarray]
    effects: dict[str, np.ndarray]
    rows: np.ndarray | None
    distances: np.ndarray | None


def grounds(
    model: OpenModel,
    read: ReadImages,
    answers: np.ndarray,
    train: Train | None,
    neighbours: int,
    workers: int | None = None,
) -> Grounds:
    """Compute the grounds. Images, then train images, are read once, in batches; features of the M images are kept.

    read: gives images by their number, 0 to M − 1. answers: class index that is explained for each, int (M,). train:
    None where the train images are not there: then there are no effects and no neighbours.
    """
    if not len(answers):
        return Grounds({}, {}, None, None)
    seen = _Seen(model)
    for start in track(range(0, len(answers), BATCH), f"explain {model.name}", unit="batch"):
        seen.add(read(np.arange(start, min(start + BATCH, len(answers)))))
    members = {name: np.concatenate(each) for name, each in seen.probabilities.items()} if model.method else {}
    if train is None or not len(train.images):
        return Grounds(members, {}, None, None)
    effects = {}
    rows = distances = None
    classifier = model.classifier
    lead = model.lead.parts
    if classifier and (lead is classifier[1] or neighbours == 0):
        distances, rows, mean = _by_classifier(classifier[1], seen.features(), train, neighbours, workers)
        effects = classifier[1].effects(seen.features(), answers, mean)
    elif classifier:
        _, _, mean = _by_classifier(classifier[1], seen.features(), train, 0, workers)
        effects = classifier[1].effects(seen.features(), answers, mean)
    if isinstance(lead, NetworkParts) and neighbours:
        distances, rows = nearest(_train_features(lead, train.images, model.name), seen.penultimate(), neighbours)
    return Grounds(members, effects, rows, distances)


class _Seen:
    """What the members say of the images that pass by, and the features in which the grounds are sought."""

    def __init__(self, model: OpenModel) -> None:
        self._model = model
        self._features: list[np.ndarray] = []
        self._penultimate: list[np.ndarray] = []
        self.probabilities: dict[str, list[np.ndarray]] = {member.name: [] for member in model.members}

    def add(self, images: np.ndarray) -> None:
        """Count in images uint8 (n, S, S, 3)."""
        classifier = self._model.classifier
        for member in self._model.members:
            if isinstance(member.parts, NetworkParts):
                probabilities, features = member.parts.answers(images)
                if member is self._model.lead:
                    self._penultimate.append(features)
            else:
                features = member.parts.features(images)
                probabilities = member.parts.probabilities(features)
                if classifier and member.parts is classifier[1]:
                    self._features.append(features)
            self.probabilities[member.name].append(probabilities)

    def features(self) -> np.ndarray:
        """Of the classifier whose feature sets are compared, float32 (M, D)."""
        return np.concatenate(self._features)

    def penultimate(self) -> np.ndarray:
        """Of the leading network, float32 (M, D)."""
        return np.concatenate(self._penultimate)


def _by_classifier(
    parts: ClassifierParts, features: np.ndarray, train: Train, neighbours: int, workers: int | None
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """Distances and rows of the nearest train images (None for 0 neighbours), and the mean for `effects`."""
    mean = Mean()
    blocks = mean.of(parts.rooted(block) for block in parts.train_blocks(train.images, workers))
    if not neighbours:
        for _ in blocks:
            pass
        return None, None, mean.value
    queries = parts.standardised(parts.rooted(features))
    distances, rows = nearest((parts.standardised(block) for block in blocks), queries, neighbours)
    return distances, rows, mean.value


def _train_features(parts: NetworkParts, images: np.ndarray, name: str) -> Iterator[np.ndarray]:
    for start in track(range(0, len(images), BATCH), f"train images as {name} sees them", unit="batch"):
        yield parts.answers(np.array(remapped(images)[start : start + BATCH]))[1]
