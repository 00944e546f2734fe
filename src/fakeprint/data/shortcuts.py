"""Can the class be identified without looking at the picture? A permutation test of facts about files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array, hstack
from scipy.stats import rankdata
from sklearn.ensemble import RandomTreesEmbedding

from fakeprint import seeds
from fakeprint.data.decode import Facts
from fakeprint.params import Validate

AUDITED = 5_000  # images; more add nothing about so few facts
FOLDS = 5
PERMUTATIONS = 199
LEVEL = 0.01  # of the test
ALONE, TOGETHER = (10, 3), (60, 4)  # trees and their depth, over one fact's columns and over all columns
PENALTY = 100.0  # of the ridge regression, in images
AT_ONCE = 2_000  # columns of a regression's targets

# Row numbers, int64 (n,), in; the columns of each fact of these rows, float32 (n, k), out. An audit looks at 5,000
# rows, and the columns of a million would take much memory.
ColumnsOf = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Audit:
    """How well a group of facts identifies the class.

    accuracy: balanced accuracy (mean recall of the classes), 0–1, cross-validated; the highest of all facts together
    and each single fact. chance: 1 / classes. p_value: of the permutation test of that highest one. by_fact: the
    accuracy from each single fact, highest first.
    """

    accuracy: float
    chance: float
    p_value: float
    by_fact: dict[str, float]

    @property
    def excess(self) -> float:
        """Part of the way from chance (0) to always right (1): scikit-learn's adjusted balanced accuracy."""
        return (self.accuracy - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0

    def found(self, max_excess: float) -> bool:
        """Whether the class is identified better than `max_excess` allows, and significantly (1 %)."""
        return self.excess > max_excess and self.p_value <= LEVEL

    def figures(self, max_excess: float) -> dict[str, Any]:
        """For metrics/validate.json."""
        return {
            "accuracy": round(self.accuracy, 6),
            "chance": round(self.chance, 6),
            "excess": round(self.excess, 6),
            "p_value": round(self.p_value, 6),
            "found": self.found(max_excess),
            "by_fact": {name: round(value, 6) for name, value in self.by_fact.items()},
        }


def audit(facts: ColumnsOf, labels: np.ndarray, groups: np.ndarray, seed: int, purpose: str) -> Audit:
    """Predict the class from facts, and test whether that is better than chance.

    The model is a ridge regression of the classes on the leaves of random trees, of all facts together and of each
    single fact. Five folds keep groups together. The test repeats all of it with permuted labels and compares the
    highest accuracies, which corrects for the number of facts (Westfall and Young 1993). Neither trees nor folds look
    at labels, so that all permutations share them: the test is exact for any balance of the classes, and cheap.

    Of a group's images with one label the first is kept. Labels are exchanged between groups of equal size and within
    groups, which keeps the test valid where groups hold one picture in several classes.

    Args:
        facts: the columns of each fact, of rows from 0 to N − 1.
        labels: object (N,), the classes.
        groups: int64 (N,), equal for near duplicates.
        seed: params.seed.
        purpose: name of the audit's own random numbers.
    """
    rng = seeds.generator(seed, purpose)
    rows = _audited(labels, groups, rng)
    codes = np.unique(labels[rows].astype(str), return_inverse=True)[1]
    chance = 1 / (int(codes.max(initial=0)) + 1)
    varied = {name: columns for name, columns in facts(rows).items() if (columns != columns[:1]).any()}
    if not varied or chance == 1:
        return Audit(chance, chance, 1.0, {})
    order = np.unique(groups[rows], return_inverse=True)[1]
    fold = rng.permutation(order.max() + 1)[order] % FOLDS
    permuted = np.stack([codes, *(_permuted(codes, order, rng) for _ in range(PERMUTATIONS))])
    state = seeds.integer(seed, purpose)
    leaves = [_leaves(columns, *ALONE, state) for columns in varied.values()]
    if len(varied) > 1:
        leaves.append(hstack([*leaves, _leaves(np.hstack(list(varied.values())), *TOGETHER, state)], format="csr"))
    accuracies = np.stack([_accuracies(some, permuted, fold) for some in leaves])
    accuracy, *by_chance = accuracies.max(axis=0).tolist()
    p_value = (1 + sum(value >= accuracy for value in by_chance)) / (1 + PERMUTATIONS)
    by_fact = dict(zip(varied, accuracies[:, 0].tolist(), strict=False))
    return Audit(accuracy, chance, p_value, dict(sorted(by_fact.items(), key=lambda item: -item[1])))


def audit_lines(shortcut: Audit, trace: Audit, settings: Validate) -> list[tuple[str, str]]:
    """For each audit that identifies the class better than params allow: what to do (note, warn, stop) and one line."""
    audits = (
        (
            shortcut,
            settings.on_shortcut,
            "container facts alone identify the class",
            "save all images in the same way before training",
        ),
        (
            trace,
            settings.on_trace,
            "traces of compression and scaling in the pixels identify the class",
            "they may come from the generators, or from how each class was saved and scaled",
        ),
    )
    lines: list[tuple[str, str]] = []
    for of, action, what, advice in audits:
        if of.found(settings.max_shortcut_excess):
            strongest, alone = next(iter(of.by_fact.items()))
            lines.append(
                (
                    action,
                    f"{what} with an accuracy of {of.accuracy:.3f} (chance {of.chance:.3f}; an excess of "
                    f"{of.excess:.2f}, above validate.max_shortcut_excess, {settings.max_shortcut_excess:g}), mainly "
                    f"{strongest} ({alone:.3f}); {advice}",
                )
            )
    return lines


def columns_of(facts: dict[str, np.ndarray]) -> ColumnsOf:
    """Columns for `audit` that are already there: float32 (N, k) of each fact."""
    return lambda rows: {name: columns[rows] for name, columns in facts.items()}


def container_facts(facts: Sequence[Facts]) -> ColumnsOf:
    """Columns for `audit` of each kind of fact that a file's container states.

    A fact has a column for each value that any of the files has, whichever rows are asked for.
    """
    forms, modes, chromas = (sorted({getattr(fact, name) for fact in facts}) for name in ("format", "mode", "chroma"))
    keys = sorted({key for fact in facts for key in fact.metadata})[:64]

    def of_rows(rows: np.ndarray) -> dict[str, np.ndarray]:
        some = [facts[row] for row in rows.tolist()]
        columns: dict[str, list[list[Any]]] = {
            "format": [[fact.format == name for name in forms] for fact in some],
            "file_length": [[fact.bytes, fact.bytes / (fact.width * fact.height)] for fact in some],
            "size": [[fact.width, fact.height, fact.width / fact.height] for fact in some],
            "pixel_form": [[fact.mode == name for name in modes] for fact in some],
            "jpeg_quantisation": [list(fact.quantisation) for fact in some],
            "chroma_subsampling": [[fact.chroma == name for name in chromas] for fact in some],
            "metadata": [[key in fact.metadata for key in keys] for fact in some],
        }
        return {name: np.array(values, dtype=np.float32) for name, values in columns.items()}

    return of_rows


def _audited(labels: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows to audit: one per group and label, at most `AUDITED`, of classes with an image for each fold."""
    kept = pd.DataFrame({"group": groups, "label": labels.astype(str)}).drop_duplicates()
    kept = kept.iloc[np.sort(rng.permutation(len(kept))[:AUDITED])]
    enough = kept.groupby("label")["label"].transform("size") >= FOLDS
    return kept.index.to_numpy()[enough.to_numpy(dtype=bool)]


def _leaves(columns: np.ndarray, trees: int, depth: int, state: int) -> csr_array:
    """Which leaf of each tree an image falls into, 0 or 1, sparse float64 (N, leaves). Trees split ranks at random."""
    forest = RandomTreesEmbedding(trees, max_depth=depth, min_samples_leaf=2, random_state=state)
    return csr_array(forest.fit_transform(rankdata(columns, axis=0)))


def _permuted(codes: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels exchanged between groups of equal size, and within each."""
    permuted = np.empty_like(codes)
    sizes = np.bincount(groups)[groups]
    by_group = np.argsort(groups, kind="stable")
    for size in np.unique(sizes):
        rows = by_group[sizes[by_group] == size]
        blocks = rng.permutation(codes[rows].reshape(-1, size))
        permuted[rows] = rng.permuted(blocks, axis=1).ravel()
    return permuted


def _accuracies(leaves: csr_array, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Cross-validated balanced accuracy for each row of labels, int (P, N), float64 (P,).

    The regression's targets are the classes' indicators over their frequencies, so that the highest prediction is the
    class of the highest likelihood, however rare it is.
    """
    classes = int(labels.max()) + 1
    correct = np.zeros(labels.shape, dtype=bool)
    step = max(1, AT_ONCE // classes)
    for number in np.unique(fold):
        train, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        seen = leaves[train]
        gram = (seen.T @ seen).toarray()
        gram[np.diag_indices_from(gram)] += PENALTY
        factor = cho_factor(gram, overwrite_a=True, check_finite=False)
        for start in range(0, len(labels), step):
            some = labels[start : start + step]
            indicators = (some[:, train, None] == np.arange(classes)).astype(np.float64)  # (P, N, C)
            targets = indicators / np.maximum(indicators.mean(axis=1, keepdims=True), 1 / len(train)) - 1
            weights = cho_solve(factor, seen.T @ targets.transpose(1, 0, 2).reshape(len(train), -1))
            scores = (leaves[held_out] @ weights).reshape(len(held_out), len(some), classes)
            correct[start : start + step, held_out] = some[:, held_out] == scores.argmax(axis=2).T
    recalls = [(correct & (labels == one)).sum(axis=1) / (labels == one).sum(axis=1) for one in range(classes)]
    accuracies: np.ndarray = np.mean(recalls, axis=0)
    return accuracies
