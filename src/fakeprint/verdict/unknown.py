"""Scores of images that may belong to no class: the higher the score, the more likely an image is unknown.

Three scores need logits alone, two compare features with those of the train images. `SCORES` names them all. A score is
fitted on what a model gives for its train images (`UnknownScore.fit`), and can be stored: numbers as JSON, arrays as
safetensors beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.linalg
from scipy.special import logsumexp

from fakeprint.blocks import Rows
from fakeprint.errors import InputError
from fakeprint.files import share, written
from fakeprint.models.classifiers.shrinkage_lda import ledoit_wolf
from fakeprint.params.names import suggestion
from fakeprint.verdict.largest_probability import OF_PROBABILITIES, max_probability

OF_LOGITS = (*OF_PROBABILITIES, "max_logit", "energy")
OF_FEATURES = ("mahalanobis", "neighbours")
SCORES = (*OF_LOGITS, *OF_FEATURES)
NEIGHBOURS = 50  # Sun et al.'s choice for CIFAR-10, of whose size most sets of one generator are
TINY = 1e-12  # length of a feature vector that counts as 0
QUERIES = 1024  # rows that are compared with train rows at a time


@dataclass(frozen=True)
class Outputs:
    """What a model gives for N images.

    logits: float (N, C); log-probabilities of models that have no logits. features: float32 (N, D), an array or rows on
    disk: the input of a network's last layer, or hand-made features as a classifier scales them; None if they are not
    needed. has_logits: False for log-probabilities, of which the energy is always 0.
    """

    logits: np.ndarray
    features: np.ndarray | Rows | None = None
    has_logits: bool = True

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores that can be computed."""
        of_logits = OF_LOGITS if self.has_logits else OF_PROBABILITIES
        return of_logits if self.features is None else (*of_logits, *OF_FEATURES)


def max_logit(logits: np.ndarray) -> np.ndarray:
    """Minus the largest logit, float64 (N,) (Hendrycks et al. 2022)."""
    return -np.asarray(logits, np.float64).max(axis=1)


def energy(logits: np.ndarray) -> np.ndarray:
    """−ln Σ exp(logit), float64 (N,): the free energy at temperature 1 (Liu et al. 2020)."""
    return -np.asarray(logsumexp(np.asarray(logits, np.float64), axis=1))


@dataclass(frozen=True)
class Mahalanobis:
    """Squared Mahalanobis distance to the nearest class mean (Lee et al. 2018).

    means: float64 (C, D). root: float64 (D, D), lower triangular: root·rootᵀ is the covariance within classes.
    It is shrunk towards its diagonal by Ledoit and Wolf's share (2004), so that it can be inverted with fewer images
    than features, and features of a small scale count as much as others.
    """

    means: np.ndarray
    root: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray | Rows, labels: np.ndarray) -> Self:
        """Fit on train features, (N, D), read block by block, and class indices from 0, int (N,), without a gap."""
        rows = Rows.of(features)
        classes, size = int(labels.max()) + 1, rows.shape[1]
        counts = np.bincount(labels, minlength=classes)
        if not counts.all():
            raise ValueError("a class has no train image")
        means = np.zeros((classes, size))
        for place, block in rows.blocks():
            means += np.eye(classes, dtype=np.float32)[labels[place]].T @ block
        means /= counts[:, None]
        squares = np.zeros(size)
        for place, block in rows.blocks():
            squares += np.sum((block - means[labels[place]]) ** 2, axis=0)
        deviation = np.sqrt(squares / len(labels))
        deviation[deviation < TINY] = 1  # a constant feature
        covariance, fourth = np.zeros((size, size)), 0.0
        for place, block in rows.blocks():
            standard = ((block - means[labels[place]]) / deviation).astype(np.float32)
            covariance += standard.T @ standard
            fourth += float(np.sum(np.einsum("ij,ij->i", standard, standard, dtype=np.float64) ** 2))
        covariance /= len(labels)
        variance = max(np.trace(covariance) / size, TINY)
        share = max(ledoit_wolf(len(labels), covariance, variance, fourth / len(labels)), TINY)
        covariance *= 1 - share
        covariance.flat[:: size + 1] += share * variance
        root = scipy.linalg.cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        return cls(means, deviation[:, None] * root)

    def distances(self, features: np.ndarray | Rows) -> np.ndarray:
        """Squared distance to the nearest class mean, float64 (N,)."""
        centres = self._white(self.means)
        found = [_squared_distances(self._white(block), centres).min(axis=1) for block in _queries(features)]
        return np.concatenate(found) if found else np.zeros(0)

    def _white(self, rows: np.ndarray) -> np.ndarray:
        white: np.ndarray = scipy.linalg.solve_triangular(self.root, rows.T, lower=True, check_finite=False)
        return white.T


@dataclass(frozen=True)
class Neighbours:
    """Distance to the k-th nearest train image, all features scaled to unit length (Sun et al. 2022).

    rows: float32 (N, D), features of the train images, as they are. k: at most N.
    """

    rows: Rows
    k: int

    def distances(self, features: np.ndarray | Rows) -> np.ndarray:
        """Euclidean distance in [0, 2], float64 (N,)."""
        found = [self._of(_unit(block)) for block in _queries(features)]
        return np.concatenate(found) if found else np.zeros(0)

    def _of(self, queries: np.ndarray) -> np.ndarray:
        nearest = np.empty((len(queries), 0), np.float32)
        for _, block in self.rows.blocks():
            closeness = np.concatenate([nearest, queries @ _unit(block).T], axis=1)
            most = min(self.k, closeness.shape[1])
            nearest = np.partition(closeness, -most, axis=1)[:, -most:]
        return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * nearest.min(axis=1).astype(np.float64)))


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY), np.float32)


def _queries(features: np.ndarray | Rows) -> Iterator[np.ndarray]:
    for _, block in Rows.of(features).blocks(QUERIES):
        yield block


def _squared_distances(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.stack([np.sum((rows - centre) ** 2, axis=1) for centre in centres], axis=1)


@dataclass(frozen=True)
class UnknownScore:
    """One score, fitted. `score(outputs)` gives float64 (N,), higher = more likely unknown.

    name: one of `SCORES`. model: what a score of `OF_FEATURES` was fitted to.
    """

    name: str
    model: Mahalanobis | Neighbours | None = None

    @classmethod
    def fit(
        cls, name: str, train: Outputs | None = None, labels: np.ndarray | None = None, k: int = NEIGHBOURS
    ) -> Self:
        """Fit a score on what the model gives for its train images, of class indices `labels`, int (N,).

        Scores of `OF_LOGITS` need neither. k: of `neighbours`. Raises InputError for an unknown name, features that are
        missing, or a k above the number of train images.
        """
        if name not in SCORES:
            raise InputError(f"'{name}' is not a score of unknown images{suggestion(name, SCORES)}")
        if name in OF_LOGITS:
            return cls(name)
        if train is None or train.features is None or labels is None:
            raise InputError(f"the score {name} needs the features of the train images; choose one of {OF_LOGITS}")
        rows = Rows.of(train.features)
        if name == "mahalanobis":
            return cls(name, Mahalanobis.fit(rows, labels))
        if k > len(rows):
            raise InputError(f"open_world.neighbours is {k}, more than the {len(rows)} train images; lower it")
        return cls(name, Neighbours(rows, k))

    def score(self, outputs: Outputs) -> np.ndarray:
        """Scores of N images, float64 (N,)."""
        if self.model is None:
            return {"max_probability": max_probability, "max_logit": max_logit, "energy": energy}[self.name](
                outputs.logits
            )
        if outputs.features is None:
            raise ValueError(f"{self.name} needs features")
        return self.model.distances(outputs.features)

    def as_json(self) -> dict[str, Any]:
        """What `load` needs beside the arrays."""
        return {"score": self.name, **({"k": self.model.k} if isinstance(self.model, Neighbours) else {})}

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays to be stored beside the JSON; empty for scores of logits. Those of `neighbours` are all train rows."""
        if isinstance(self.model, Mahalanobis):
            return {"means": self.model.means, "root": self.model.root}
        return {"rows": self.model.rows.whole()} if isinstance(self.model, Neighbours) else {}

    def save_arrays(self, path: Path) -> None:
        """Write the arrays as safetensors; nothing where there are none."""
        from safetensors.numpy import save_file

        if arrays := self.arrays():
            with written(path) as partial:
                save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, partial)
                share(partial)


def load(content: Mapping[str, Any], path: Path | None = None) -> UnknownScore:
    """The score that `as_json` and `save_arrays` stored. Raises InputError where the arrays are missing or damaged."""
    name = str(content["score"])
    if name in OF_LOGITS:
        return UnknownScore(name)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path or Path())
        if name == "mahalanobis":
            return UnknownScore(name, Mahalanobis(arrays["means"], arrays["root"]))
        return UnknownScore(name, Neighbours(Rows.of(arrays["rows"]), int(content["k"])))
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path} does not hold the score {name} ({error}); run `dvc repro` again") from None


def scores_of(
    train: Outputs, labels: np.ndarray, outputs: Outputs, k: int = NEIGHBOURS, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Every score of N images, by name: float64 (N,) each. train, labels: what scores of features are fitted on."""
    return {name: UnknownScore.fit(name, train, labels, k).score(outputs) for name in names or outputs.scores}
