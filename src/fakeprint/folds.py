"""Images dealt into parts, folds or splits: every class in proportion, images of one group in one part.

scikit-learn's StratifiedGroupKFold deals by the same rule: the largest groups first, each where it leaves the classes
most even. It makes equal parts only, and weighs every fold for every group in Python, single images too: for these it
takes hundreds of times as long (`python -m benchmarks.folds`), minutes for 100,000. Tests hold our folds against its.
"""

import heapq
from typing import Any

import numpy as np

ALIKE = 1 + 1e-9  # costs closer than this are equal, so that rounding decides nothing
SIZE = 1e-3  # weight of a part's size beside its classes: it decides where these leave the choice


def parts(labels: np.ndarray, groups: np.ndarray, shares: list[float], rng: np.random.Generator) -> np.ndarray:
    """The part of each image, int64 (N,) from 0: whole groups, and of every class the given share in each part.

    Groups of several images come first, by their largest share of a class, equal ones in random order. Each goes where
    the sum over parts and classes of (share of the class that the part holds)² / (share wanted) grows least, for the
    sum is least where every part holds what is wanted. Single images then go by the same rule, which for them is
    Webster's method of apportionment: the shares are exact but for rounding. At last a part without a class gets its
    smallest group that another part can do without; earlier parts come first. Time grows with the number of groups.

    Args:
        labels: (N,), the classes.
        groups: int64 (N,), equal for images that stay together.
        shares: what each part is to hold of every class; positive, sum 1.
        rng: decides among equals.
    """
    if not len(labels):
        return np.zeros(0, dtype=np.int64)
    label, group = (np.unique(column, return_inverse=True)[1] for column in (labels, groups))
    sizes, totals = np.bincount(group), np.bincount(label)
    # An entry for each class of each group, the groups in order.
    entries, counts = np.unique(group * len(totals) + label, return_counts=True)
    of_group, column = np.divmod(entries, len(totals))
    starts = np.flatnonzero(np.diff(of_group, prepend=-1))
    numbers = rng.permutation(len(shares))  # the first of equal parts is no particular one
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
        chosen = int((cost <= cost.min() * ALIKE).argmax())
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
    """The fold of each image, int64 (N,) from 0 to count − 1; as `parts` of equal shares."""
    return parts(labels, groups, [1 / count] * count, rng)


def groups_of_class(labels: np.ndarray, groups: np.ndarray) -> dict[Any, int]:
    """In how many groups each class has images, by class."""
    classes, label = np.unique(labels, return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    pairs = np.unique(group * len(classes) + label)
    return dict(zip(classes.tolist(), np.bincount(pairs % len(classes)).tolist(), strict=True))


def _spread(part_of: np.ndarray, of_group: np.ndarray, column: np.ndarray, order: np.ndarray, count: int) -> None:
    """Move groups, in place, to parts without one of the classes.

    A group leaves a later part, or one that keeps all of the group's classes without it.

    Args:
        part_of: int64 (G,), the part of each group.
        of_group: int64 (E,), the group of each entry, sorted.
        column: int64 (E,), the class of each entry.
        order: int64 (G,), the groups, those first that are moved most gladly.
        count: of parts.
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
    """The parts of `count` single images of one class, each where that class is furthest behind; then the emptiest."""
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
