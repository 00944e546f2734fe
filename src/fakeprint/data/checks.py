"""What can be wrong with data before any model sees it: duplicates, leaks between splits, telltale containers."""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from fakeprint import seeds
from fakeprint.data.decode import Facts

FLAT = 2.0  # grey levels; thumbnails that differ by no more than this are alike whatever they show
UNLIKE = 0.2  # of a picture's own contrast; thumbnails that differ by more show different pictures
BRIGHTNESS = 40.0  # grey levels; mean colours of near duplicates differ by no more
QUERIES = 4096
AUDITED = 5_000  # images; more tell no more about so few facts
FOLDS = 5


@dataclass(frozen=True)
class Pairs:
    """Pairs of duplicates, rows into the images checked: first < second, int64 (P,).

    bits: differing bits of the perceptual hashes; −1 where the pixels are identical.
    """

    first: np.ndarray
    second: np.ndarray
    bits: np.ndarray

    @property
    def exact(self) -> np.ndarray:
        """Where the pixels are identical, bool (P,)."""
        return self.bits < 0


def duplicates(pixels: np.ndarray, phashes: np.ndarray, thumbnails: np.ndarray, most_bits: int) -> Pairs:
    """Exact and near duplicates.

    Identical pixels are paired with the first image that has them. Near duplicates are pairs of different pixels whose
    perceptual hashes differ in at most `most_bits` bits, found exactly by faiss, and whose thumbnails agree: such
    hashes say little of flat or dark pictures, where unlike images share one. The thumbnails, each less its mean
    colour, may differ (root mean square) by `UNLIKE` of the weaker one's contrast, or by `FLAT` grey levels; their mean
    colours by `BRIGHTNESS`, or `FLAT` for flat pictures. Of several images with the same pixels the first stands for
    all.

    Args:
        pixels: bytes16 (N,), digests of the decoded pixels.
        phashes: uint8 (N, 8).
        thumbnails: uint8 (N, h, w, 3).
        most_bits: 0–64.
    """
    _, originals, which = np.unique(pixels, return_index=True, return_inverse=True)
    copies = np.flatnonzero(originals[which] != np.arange(len(pixels)))
    near_first, near_second, bits = _near(phashes, thumbnails, np.sort(originals), most_bits)
    first = np.concatenate([originals[which[copies]], near_first])
    second = np.concatenate([copies, near_second])
    both_bits = np.concatenate([np.full(len(copies), -1, dtype=np.int64), bits])
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order], both_bits[order])


def _near(
    phashes: np.ndarray, thumbnails: np.ndarray, rows: np.ndarray, most_bits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hashes = np.ascontiguousarray(phashes[rows])
    index = faiss.IndexBinaryFlat(64)
    index.add(hashes)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, len(rows), QUERIES):
        limits, distances, neighbours = index.range_search(hashes[start : start + QUERIES], most_bits + 1)
        queries = np.repeat(
            np.arange(start, start + len(limits) - 1), np.diff(limits.astype(np.int64)).astype(np.int64)
        )
        later = neighbours > queries
        first, second = rows[queries[later]], rows[neighbours[later]]
        bits = distances[later].astype(np.int64)
        for part in range(0, len(first), QUERIES * 16):
            span = slice(part, part + QUERIES * 16)
            alike = _alike(thumbnails[first[span]], thumbnails[second[span]])
            found.append((first[span][alike], second[span][alike], bits[span][alike]))
    if not found:
        return (np.zeros(0, dtype=np.int64),) * 3
    first, second, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second, bits


def _alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where the two thumbnails, uint8 (P, h, w, 3), show one picture, bool (P,)."""
    a, b = (pictures.reshape(len(pictures), -1, 3).astype(np.float32) for pictures in (first, second))
    mean_a, mean_b = a.mean(axis=1), b.mean(axis=1)
    a, b = a - mean_a[:, None], b - mean_b[:, None]
    contrast = np.sqrt(np.minimum((a**2).mean(axis=(1, 2)), (b**2).mean(axis=(1, 2))))
    difference = np.sqrt(((a - b) ** 2).mean(axis=(1, 2)))
    shift = np.abs(mean_a - mean_b).max(axis=1)
    return (difference <= np.maximum(FLAT, UNLIKE * contrast)) & (shift <= np.where(contrast > FLAT, BRIGHTNESS, FLAT))


def grouped(pairs: Pairs, count: int) -> np.ndarray:
    """int64 (N,): a number for each image, equal for duplicates of duplicates."""
    edges = coo_array((np.ones(len(pairs.first), dtype=bool), (pairs.first, pairs.second)), shape=(count, count))
    return connected_components(edges, directed=False)[1].astype(np.int64)


def duplicate_figures(pairs: Pairs, rows: pd.DataFrame) -> dict[str, int]:
    """Counts for metrics: pairs, those across splits, and those of two labels, exact and near.

    Args:
        pairs: of the rows.
        rows: split, label.
    """
    split = rows["split"].to_numpy(dtype=object)
    label = rows["label"].fillna("").to_numpy(dtype=object)
    across = split[pairs.first] != split[pairs.second]
    one, other = label[pairs.first], label[pairs.second]
    conflict = (one != other) & (one != "") & (other != "")
    figures: dict[str, int] = {}
    for kind, mask in (("exact", pairs.exact), ("near", ~pairs.exact)):
        figures |= {
            f"{kind}_pairs": int(mask.sum()),
            f"{kind}_pairs_across_splits": int((mask & across).sum()),
            f"{kind}_pairs_of_two_labels": int((mask & conflict).sum()),
        }
    return figures


def duplicates_table(pairs: Pairs, rows: pd.DataFrame, most: int = 20_000) -> pd.DataFrame:
    """The pairs by name, for duplicates.csv: across splits first, exact before near, at most `most` rows."""
    columns = {"kind": np.where(pairs.exact, "exact", "near"), "bits": np.maximum(pairs.bits, 0)}
    for side, number in (("first", pairs.first), ("second", pairs.second)):
        for column in ("image_id", "split", "label", "path"):
            columns[f"{side}_{column}"] = rows[column].to_numpy(dtype=object)[number]
    table = pd.DataFrame(columns)
    order = np.lexsort((pairs.second, pairs.first, pairs.bits, table["first_split"] == table["second_split"]))
    return table.iloc[order[:most]].reset_index(drop=True)


@dataclass(frozen=True)
class Audit:
    """How well container facts alone tell the class.

    accuracy: balanced accuracy (mean recall of the classes), cross-validated; chance: 1 / classes. by_fact: the same
    from each fact alone, strongest first. significant: above chance by more than three standard errors.
    """

    accuracy: float
    chance: float
    by_fact: dict[str, float]
    significant: bool


def shortcut_audit(facts: list[Facts], labels: np.ndarray, seed: int) -> Audit:
    """Can the label be told without looking at the picture?

    A random forest sees container facts only (format, file length, width and height, pixel form, JPEG quantisation,
    metadata present) and predicts images that it was not fitted on, over five folds. Fakes gathered from one place and
    photographs from another often differ in nothing so much as in these; a network learns them gladly.

    Args:
        facts: of the labelled images.
        labels: object (N,).
        seed: params.seed.
    """
    classes, codes = np.unique(labels.astype(str), return_inverse=True)
    rng = seeds.generator(seed, "shortcut")
    rows = np.sort(rng.permutation(len(codes))[:AUDITED])
    codes = codes[rows]
    enough = np.isin(codes, np.flatnonzero(np.bincount(codes, minlength=len(classes)) >= FOLDS))
    rows, codes = rows[enough], codes[enough]
    groups = _fact_columns([facts[row] for row in rows])
    varied = {name: columns for name, columns in groups.items() if (columns != columns[:1]).any()}
    chance = 1 / max(1, len(np.unique(codes)))
    if not varied or chance == 1:
        return Audit(chance, chance, {}, False)
    state = seeds.integer(seed, "shortcut")
    accuracy = _told(np.hstack(list(varied.values())), codes, state)
    alone = {name: _told(columns, codes, state) for name, columns in varied.items()} if len(varied) > 1 else {}
    by_fact = dict(sorted((alone or {next(iter(varied)): accuracy}).items(), key=lambda item: -item[1]))
    margin = 3 * (chance * (1 - chance) / len(codes)) ** 0.5
    return Audit(accuracy, chance, by_fact, accuracy > chance + margin)


def _fact_columns(facts: list[Facts]) -> dict[str, np.ndarray]:
    """Float columns (N, k) of each kind of fact."""
    area = [fact.width * fact.height for fact in facts]
    keys = sorted({key for fact in facts for key in fact.metadata})[:64]
    names: dict[str, list[list[Any]]] = {
        "format": [[fact.format == name for name in sorted({fact.format for fact in facts})] for fact in facts],
        "file_length": [[fact.bytes, fact.bytes / pixels] for fact, pixels in zip(facts, area, strict=True)],
        "size": [[fact.width, fact.height, fact.width / fact.height] for fact in facts],
        "pixel_form": [[fact.mode == name for name in sorted({fact.mode for fact in facts})] for fact in facts],
        "jpeg_quantisation": [list(fact.quantisation) for fact in facts],
        "metadata": [[key in fact.metadata for key in keys] for fact in facts],
    }
    return {name: np.array(columns, dtype=np.float32).reshape(len(facts), -1) for name, columns in names.items()}


def _told(columns: np.ndarray, codes: np.ndarray, state: int) -> float:
    forest = RandomForestClassifier(
        n_estimators=40, min_samples_leaf=max(1, min(20, len(codes) // 50)), class_weight="balanced", random_state=state
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=state)
    return float(balanced_accuracy_score(codes, cross_val_predict(forest, columns, codes, cv=folds, n_jobs=1)))
