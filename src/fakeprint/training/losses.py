"""Losses: cross-entropy, focal or hinge loss, with class weights and mixed labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional

from fakeprint.errors import InputError
from fakeprint.params import class_index, suggestion


@dataclass(frozen=True)
class Targets:
    """The labels of a batch, int64 (N,).

    others: the second label of each image of a mixed batch, int64 (N,), or None. share: of the first label, in [0, 1].
    """

    labels: Tensor
    others: Tensor | None = None
    share: float = 1.0

    def hits(self, logits: Tensor) -> Tensor:
        """The number of correct images, 0-dimensional; a mixed image counts by the share of the predicted label."""
        predicted = logits.argmax(1)
        correct = (predicted == self.labels).sum()
        if self.others is None:
            return correct
        return self.share * correct + (1 - self.share) * (predicted == self.others).sum()


@dataclass(frozen=True)
class Criterion:
    """The loss of a batch: the mean over its images, each times the weight of its class.

    smoothing: the share of a label that is spread over all classes (Szegedy et al. 2016). gamma: focal loss, an image's
    cross-entropy times (1 − p)^γ, p its label's probability (Lin et al. 2017); None = cross-entropy. weights: float32
    (classes,) on the device; None = 1 each. hinge: instead of both, the sum over the other classes of
    max(0, 1 − label's logit + their logit), divided by the number of classes (Weston and Watkins 1999; torch's
    `multi_margin_loss`). Of two classes it is half the hinge loss of a linear SVM on the difference of the logits.
    """

    smoothing: float = 0.0
    gamma: float | None = None
    weights: Tensor | None = None
    hinge: bool = False

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """The loss, 0-dimensional, of float32 logits (N, classes)."""
        loss = self._of(logits, targets.labels)
        if targets.others is None:
            return loss
        return targets.share * loss + (1 - targets.share) * self._of(logits, targets.others)

    def _of(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.hinge:
            losses = functional.multi_margin_loss(logits, labels, reduction="none")
        elif self.gamma is None and self.weights is None:
            return functional.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        else:
            losses = functional.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")
        if self.gamma is not None:
            missing = 1 - logits.softmax(1).gather(1, labels[:, None])[:, 0]
            # At γ < 1 the derivative of missing^γ has no bound at 0.
            losses = losses * missing.clamp(min=1e-6) ** self.gamma
        if self.weights is not None:
            losses = losses * self.weights[labels]
        return losses.mean()


def class_weights(
    requested: str | Mapping[str | int, float], labels: np.ndarray, classes: Sequence[str]
) -> np.ndarray | None:
    """The weight of each class, float64 (classes,), or None for "none".

    requested: "balanced" is N / (classes · images of the class), so that all classes weigh the same and the mean weight
    is 1; a mapping gives the weights of some classes, the others have 1. labels: int64 (N,) of the training images.
    Raises InputError for a weight of an unknown class.
    """
    if requested == "none":
        return None
    if isinstance(requested, str):
        counts = np.bincount(labels, minlength=len(classes))
        return len(labels) / (len(classes) * np.maximum(counts, 1))
    weights = np.ones(len(classes))
    for name, weight in requested.items():
        index = class_index(name, classes)
        if index is None:
            raise InputError(f"train.class_weights: there is no class '{name}'{suggestion(str(name), classes)}")
        weights[index] = weight
    return weights
