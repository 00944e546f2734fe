"""Divide images into parts (folds or splits), stratified by class, with the images of a group in one part.

scikit-learn's StratifiedGroupKFold uses the same rule: the largest groups first, each to the fold that keeps the
classes most even. It makes equal parts only, and compares all folds for every group in Python, also for single images,
for which it takes hundreds of times as long (`python -m benchmarks.folds`), minutes for 100,000. Tests compare our
folds with its.
"""

import heapq
from typing import Any

import numpy as np

EQUAL = 1 + 1e-9  # costs within this factor are equal, so that rounding decides nothing
SIZE = 1e-3  # weight of a part's size relative to its classes: it only decides among equals


def parts(labels: np.ndarray, groups: np.ndarray, shares: list[float], rng: np.random.Generator) -> np.ndarray:
    """The part of each image, int64 (N,) from 0: whole groups, and of every class the given share in each part.

    Groups of several images come first, by their largest share of a class, ties in random order. Each goes to the part
    where the sum over parts and classes of (share of the class in the part)² / (requested share) grows least; the sum
    is smallest if every part has its requested share. Single images then follow the same rule, which for them is
    Webster's method of apportionment, exact up to rounding. Finally, a part without a class gets the smallest group
    with it that another part can spare; earlier parts come first. Time grows with the number of groups.

    Args:
        labels: (N,), the classes.
        groups: int64 (N,), equal for images that stay in one part.
        shares: requested share of every class in each part; positive, sum 1.
        rng: for ties.
    """
    if not len(labels):
        return np.zeros(0, dtype=np.int64)
    label, group = (np.unique(column, return_inverse=True)[1] for column in (labels, groups))
    sizes, totals = np.bincount(group), np.bincount(label)
    # One entry per class of each group, sorted by group.
    entries, counts = np.unique(group * len(totals) + label, return_counts=True)
    of_group, column = np.divmod(entries, len(totals))
    starts = np.flatnonzero(np.diff(of_group, prepend=-1))
    numbers = rng.permutation(len(shares))  # so that ties do not favour a particular part
    inverse = 1 / np.array(shares, dtype=np.float64)[numbers]
    held = np.zeros((len(totals), len(shares)), dtype=np.int64)  # images of each class in each part
    filled = np.zeros(len(shares), dtype=np.int64)  # images in each part
    part_of = np.empty(len(starts), dtype=np.int64)

    order = rng.permutation(len(starts))
    several = order[sizes[order] > 1]
    largest = np.maximum.reduceat(counts / totals[column], starts)
    several = several[np.argsort(-largest[several], kind="stable")]
    ends = np.append(starts[1:], len(entries))
    for number in several.tolist():
        span = slice(starts[number], ends[number])
        columns, added = column[span], counts[span, None]
        grown = added / totals[columns, None] ** 2 * (2 * held[columns] + added)
        of_all = sizes[number] / len(labels) ** 2 * (2 * filled + sizes[number])
        cost = (grown.sum(axis=0) + SIZE * of_all) * inverse
        chosen = int((cost <= cost.min() * EQUAL).argmax())
        held[columns, chosen] += added[:, 0]
        filled[chosen] += sizes[number]
        part_of[number] = chosen

    single = order[sizes[order] == 1]
    class_of = column[starts[single]]
    for each in np.unique(class_of):
        mine = single[class_of == each]
        part_of[mine] = _apportioned(len(mine), held[each], filled * inverse, inverse)
        filled += np.bincount(part_of[mine], minlength=len(shares))
    part_of = numbers[part_of]
    _spread(part_of, of_group, column, order[np.argsort(sizes[order], kind="stable")], len(shares))
    return part_of[group]


def group_folds(labels: np.ndarray, groups: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The fold of each image, int64 (N,) from 0 to count − 1: `parts` with equal shares."""
    return parts(labels, groups, [1 / count] * count, rng)


def groups_of_class(labels: np.ndarray, groups: np.ndarray) -> dict[Any, int]:
    """The number of groups with images of each class, by class."""
    classes, label = np.unique(labels, return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    pairs = np.unique(group * len(classes) + label)
    return dict(zip(classes.tolist(), np.bincount(pairs % len(classes)).tolist(), strict=True))


def _spread(part_of: np.ndarray, of_group: np.ndarray, column: np.ndarray, order: np.ndarray, count: int) -> None:
    """Move groups, in place, to parts that lack one of the classes.

    A group is taken from a later part, or from one that still has all of the group's classes without it.

    Args:
        part_of: int64 (G,), the part of each group.
        of_group: int64 (E,), the group of each entry, sorted.
        column: int64 (E,), the class of each entry.
        order: int64 (G,), the groups in the order of preference for moving.
        count: number of parts.
    """
    held = np.zeros((column.max() + 1, count), dtype=np.int64)  # groups with each class in each part
    np.add.at(held, (column, part_of[of_group]), 1)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    missing = ((part, lacked) for part in range(count) for lacked in np.flatnonzero(held[:, part] == 0))
    for to, lacked in missing:
        candidates = of_group[column == lacked]
        for number in candidates[np.argsort(place[candidates])]:
            giver = part_of[number]
            first, last = np.searchsorted(of_group, (number, number + 1))
            given = column[first:last]
            if giver > to or (held[given, giver] > 1).all():
                held[given, giver] -= 1
                held[given, to] += 1
                part_of[number] = to
                break


def _apportioned(count: int, held: np.ndarray, filled: np.ndarray, inverse: np.ndarray) -> list[int]:
    """The parts of `count` single images of one class, each where the class lacks most, then to the emptiest part."""
    amounts, weights, behind = held.tolist(), inverse.tolist(), filled.tolist()
    heap = [((2 * amount + 1) * weights[part], behind[part], part) for part, amount in enumerate(amounts)]
    heapq.heapify(heap)
    chosen = []
    for _ in range(count):
        part = heap[0][2]
        chosen.append(part)
        amounts[part] += 1
        heapq.heapreplace(heap, ((2 * amounts[part] + 1) * weights[part], behind[part], part))
    return chosen
