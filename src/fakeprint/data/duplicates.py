"""Images that a source holds twice: exact and near duplicates. Memory grows with the images, not with the pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

FLAT = 2.0  # grey levels; thumbnails that differ by no more are the same, and a picture of less contrast has no content
UNLIKE = 0.2  # of a picture's own contrast; thumbnails that differ by more show different pictures
BRIGHTNESS = 40.0  # grey levels; mean colours of near duplicates differ by no more
BLOCK = 256  # pictures compared in one step
WINDOW = 256  # pictures of the same hash that each is compared with, those of the nearest brightness
CARRIED = 8  # pictures of a hash that are compared with pictures of other hashes
COMPARED = 32  # pairs of pictures with different hashes that are compared, times the number of pictures
BANDED_BITS = 7  # up to here a hash table of each band of bits is faster than comparing all hashes

Links = tuple[np.ndarray, np.ndarray]  # two int64 (L,): positions of pictures that belong to one cluster


@dataclass(frozen=True)
class Pairs:
    """Pairs of an image and its duplicate: rows of the images checked, first < second, int64 (P,).

    An image is at most once in `second`: a copy with identical pixels is paired with the first image that has them, a
    near duplicate with the first image of its cluster. `grouped` gives the clusters.

    bits: differing bits of the two perceptual hashes; −1 where the pixels are identical.
    complete: False where a bound of the search was reached, so that some near duplicates may be missing.
    """

    first: np.ndarray
    second: np.ndarray
    bits: np.ndarray
    complete: bool = True

    @property
    def exact(self) -> np.ndarray:
        """Where the pixels are identical, bool (P,)."""
        return self.bits < 0


def find_duplicates(pixels: np.ndarray, phashes: np.ndarray, thumbnails: np.ndarray, most_bits: int) -> Pairs:
    """Exact and near duplicates.

    Near duplicates are different pixels whose perceptual hashes differ in at most `most_bits` bits and whose thumbnails
    agree: for dark pictures hashes are not enough, since different images share one. The thumbnails, each less its mean
    colour, may differ (root mean square) by `UNLIKE` of the weaker one's contrast, or by `FLAT` grey levels, and their
    mean colours by `BRIGHTNESS`. Near duplicates of near duplicates form one cluster.

    Flat pictures (contrast of at most `FLAT`) show nothing to compare. They are near duplicates of each other where
    their hashes are equal and their mean colours round to the same multiple of `FLAT`, and of no other picture.

    The search finds all pairs of an ordinary source. Time and memory stay proportional to the number of images where
    many different pictures share a hash, or have hashes close to many others: then each is compared with at least the
    `WINDOW` pictures of its own hash that come before it in the order of brightness, `CARRIED` pictures of each hash
    are compared with other hashes, and at most `COMPARED` such pairs for each picture. `Pairs.complete` is False where
    that left something out.

    Args:
        pixels: bytes16 (N,), digests of the decoded pixels.
        phashes: uint8 (N, 8).
        thumbnails: uint8 (N, h, w, 3).
        most_bits: 0–64.
    """
    _, originals, which = np.unique(pixels, return_index=True, return_inverse=True)
    copies = np.flatnonzero(originals[which] != np.arange(len(pixels)))
    hashes = np.ascontiguousarray(phashes).view(np.uint64).ravel()
    rows = np.sort(originals)
    representative, complete = _representatives(_Pictures(hashes, thumbnails, rows), most_bits)
    others = np.flatnonzero(representative != rows)
    first = np.concatenate([originals[which[copies]], representative[others]])
    second = np.concatenate([copies, rows[others]])
    bits = np.bitwise_count(hashes[first] ^ hashes[second]).astype(np.int64)
    bits[: len(copies)] = -1
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order], bits[order], complete)


def grouped(pairs: Pairs, count: int) -> np.ndarray:
    """int64 (N,): a number for each image, equal for duplicates of duplicates."""
    return _components(pairs.first, pairs.second, count)


def duplicate_figures(pairs: Pairs, rows: pd.DataFrame) -> dict[str, int]:
    """Counts for metrics: pairs, those across splits, and those of two labels, exact and near.

    All pairs of images within a cluster count: of k images with identical pixels, k(k − 1)/2. They are counted from the
    sizes of the clusters.

    Args:
        pairs: of the rows.
        rows: split, label.
    """
    exact = Pairs(pairs.first[pairs.exact], pairs.second[pairs.exact], pairs.bits[pairs.exact])
    images = pd.DataFrame(
        {
            "content": grouped(exact, len(rows)),
            "cluster": grouped(pairs, len(rows)),
            "split": rows["split"].to_numpy(dtype=object),
            "label": rows["label"].to_numpy(dtype=object),
        }
    )
    labelled = images[images["label"].notna()]

    def counted(by: str) -> np.ndarray:
        within = _pairs_within(images, by)
        across = within - _pairs_within(images, by, "split")
        conflicts = _pairs_within(labelled, by) - _pairs_within(labelled, by, "label")
        return np.array([within, across, conflicts])

    of_content = counted("content")
    kinds = {"exact": of_content, "near": counted("cluster") - of_content}
    names = ("pairs", "pairs_across_splits", "pairs_of_two_labels")
    return {f"{kind}_{name}": int(kinds[kind][place]) for kind in kinds for place, name in enumerate(names)}


def duplicates_table(pairs: Pairs, rows: pd.DataFrame, most: int = 20_000) -> pd.DataFrame:
    """For duplicates.csv: each duplicate with the first image of its cluster, by name, at most `most` rows.

    Those across splits come first, then exact before near. A cluster that spans splits has at least one such row.
    """
    columns = {"kind": np.where(pairs.exact, "exact", "near"), "bits": np.maximum(pairs.bits, 0)}
    for side, number in (("first", pairs.first), ("second", pairs.second)):
        for column in ("image_id", "split", "label", "path"):
            columns[f"{side}_{column}"] = rows[column].to_numpy(dtype=object)[number]
    table = pd.DataFrame(columns)
    order = np.lexsort((pairs.second, pairs.first, pairs.bits, table["first_split"] == table["second_split"]))
    return table.iloc[order[:most]].reset_index(drop=True)


def _pairs_within(images: pd.DataFrame, *columns: str) -> int:
    sizes = images.groupby(list(columns), sort=False).size()
    return int((sizes * (sizes - 1) // 2).sum())


class _Pictures:
    """The pictures that near duplicates are searched among, by position: one for each distinct content.

    rows: int64 (P,), ascending, into all images. hashes: uint64 (P,). colours: float32 (P, 3), mean colours in grey
    levels. squares: float32 (P,), sums of squares about the mean colour. values: numbers in a thumbnail.
    """

    def __init__(self, hashes: np.ndarray, thumbnails: np.ndarray, rows: np.ndarray):
        self.rows, self.hashes, self._thumbnails = rows, hashes[rows], thumbnails.reshape(len(thumbnails), -1)
        self.values = self._thumbnails.shape[1]
        self.colours, self.squares = np.empty((len(rows), 3), np.float32), np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK * 16):
            span = slice(start, start + BLOCK * 16)
            values = self.thumbnails(np.arange(len(rows))[span])
            self.colours[span] = values.reshape(len(values), -1, 3).mean(axis=1)
            values -= np.tile(self.colours[span], self.values // 3)
            self.squares[span] = np.einsum("ij,ij->i", values, values)

    def thumbnails(self, positions: np.ndarray) -> np.ndarray:
        """float32 (n, values)."""
        return self._thumbnails[self.rows[positions]].astype(np.float32)

    def tolerance(self, weaker: np.ndarray) -> np.ndarray:
        """Sum of squared differences within which two thumbnails agree, from the squares of the weaker one."""
        return np.maximum(FLAT**2 * self.values, UNLIKE**2 * weaker)

    def same_picture(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether the pictures at two lists of positions show the same picture, bool (n,)."""
        differences = self.thumbnails(first)
        differences -= self._thumbnails[self.rows[second]]
        shift = self.colours[first] - self.colours[second]
        apart = np.einsum("ij,ij->i", differences, differences) - self.values / 3 * np.square(shift).sum(axis=1)
        weaker = np.minimum(self.squares[first], self.squares[second])
        return (apart <= self.tolerance(weaker)) & (np.abs(shift).max(axis=1) <= BRIGHTNESS)

    def same_picture_matrix(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """`same_picture` for every pair of two lists of positions, bool (some, others), by one matrix product."""
        a, b = (self.thumbnails(side) - np.tile(self.colours[side], self.values // 3) for side in (some, others))
        apart = self.squares[some, None] + self.squares[others] - 2 * (a @ b.T)
        same: np.ndarray = apart <= self.tolerance(np.minimum(self.squares[some, None], self.squares[others]))
        for channel in range(3):
            same &= np.abs(self.colours[some, channel, None] - self.colours[others, channel]) <= BRIGHTNESS
        return same


def _representatives(pictures: _Pictures, most_bits: int) -> tuple[np.ndarray, bool]:
    """The first row of each picture's cluster, int64 (P,), and whether the search was complete."""
    flat = pictures.squares <= FLAT**2 * pictures.values
    shown = np.flatnonzero(~flat)
    order = shown[np.lexsort((pictures.colours[shown].sum(axis=1), pictures.hashes[shown]))]
    bounds = _runs(pictures.hashes[order])
    links = [_flat_links(pictures, np.flatnonzero(flat)), *_links_of_equal_hashes(pictures, order, bounds)]
    complete = int(np.diff(bounds).max(initial=0)) <= WINDOW
    if most_bits:
        carried, all_carried = _carried(len(pictures.rows), order, bounds, links)
        found, all_compared = _links_of_close_hashes(pictures, carried, most_bits)
        links += found
        complete = complete and all_carried and all_compared
    cluster = _clusters(links, len(pictures.rows))
    _, start = np.unique(cluster, return_index=True)
    return pictures.rows[start[cluster]], complete


def _flat_links(pictures: _Pictures, flat: np.ndarray) -> Links:
    """Flat pictures of one hash and one rounded colour. Cells are shifted so that 0 and 255 are inside one."""
    cells = np.floor((pictures.colours[flat] + 0.5) / FLAT).astype(np.int64)
    keys = pd.DataFrame({"hash": pictures.hashes[flat], "red": cells[:, 0], "green": cells[:, 1], "blue": cells[:, 2]})
    cell = keys.groupby(list(keys.columns), sort=False).ngroup().to_numpy()
    _, start = np.unique(cell, return_index=True)
    return flat[start[cell]], flat


def _links_of_equal_hashes(pictures: _Pictures, order: np.ndarray, bounds: np.ndarray) -> Iterator[Links]:
    """Links among pictures of one hash, each compared with the `WINDOW` before it in `order`.

    order: positions of pictures, by hash, then by brightness. bounds: where in it each hash begins, and its end.
    """
    sizes = np.diff(bounds)
    shared = np.flatnonzero(np.repeat(sizes > 1, sizes))
    starts = np.searchsorted(shared, np.repeat(bounds[:-1], sizes)[shared])  # of each picture's hash
    order = order[shared]
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        begin = max(int(starts[start]), start - WINDOW)
        places = np.arange(begin, stop)
        same = pictures.same_picture_matrix(order[start:stop], order[begin:stop])
        same &= (places >= starts[start:stop, None]) & (places < places[start - begin :, None])
        later, earlier = np.nonzero(same)
        cluster = _components(later + start - begin, earlier, stop - begin)
        _, first = np.unique(cluster, return_index=True)
        yield order[begin + first[cluster]], order[begin:stop]


def _carried(count: int, order: np.ndarray, bounds: np.ndarray, links: list[Links]) -> tuple[np.ndarray, bool]:
    """At most `CARRIED` pictures of each hash, the first of each cluster before others; and whether those all fit."""
    is_first = np.zeros(count, dtype=bool)
    is_first[np.unique(_clusters(links, count), return_index=True)[1]] = True
    sizes = np.diff(bounds)
    order = order[np.lexsort((order, ~is_first[order], np.repeat(np.arange(len(sizes)), sizes)))]
    kept = np.arange(len(order)) - np.repeat(bounds[:-1], sizes) < CARRIED
    return order[kept], not (is_first[order] & ~kept).any()


def _links_of_close_hashes(pictures: _Pictures, carried: np.ndarray, most_bits: int) -> tuple[list[Links], bool]:
    """Links between the carried pictures of different hashes, and whether `COMPARED` allowed all comparisons."""
    bounds = _runs(pictures.hashes[carried])
    sizes = np.diff(bounds)
    allowed = COMPARED * len(pictures.rows)
    links = []
    for one, other in _close(pictures.hashes[carried[bounds[:-1]]], most_bits):
        counts = sizes[one] * sizes[other]
        within = np.cumsum(counts) <= allowed
        one, other, counts = one[within], other[within], counts[within]
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        across = np.repeat(sizes[other], counts)
        first = carried[np.repeat(bounds[one], counts) + place // across]
        second = carried[np.repeat(bounds[other], counts) + place % across]
        for part in range(0, len(first), BLOCK * 16):
            span = slice(part, part + BLOCK * 16)
            same = pictures.same_picture(first[span], second[span])
            links.append((first[span][same], second[span][same]))
        allowed -= int(counts.sum())
        if not within.all():
            return links, False
    return links, True


def _close(distinct: np.ndarray, most_bits: int) -> Iterator[Links]:
    """Pairs of distinct hashes, uint64 (H,), that differ in at most `most_bits` bits: all of them, a block at a time.

    Of `most_bits` + 1 bands of bits one at least is equal in two such hashes (pigeonhole), so only hashes that share a
    band are compared (Norouzi, Punjani and Fleet 2012, multi-index hashing; faiss's implementation).
    """
    hashes = distinct[:, None].view(np.uint8)
    bands = most_bits + 1
    banded = most_bits <= BANDED_BITS
    index = faiss.IndexBinaryMultiHash(64, bands, 64 // bands) if banded else faiss.IndexBinaryFlat(64)
    if len(hashes):
        index.add(hashes)
    for start in range(0, len(hashes), BLOCK):
        limits, _, neighbours = index.range_search(hashes[start : start + BLOCK], most_bits + 1)
        counts = np.diff(limits.astype(np.int64)).astype(np.int64)
        queries = np.repeat(np.arange(start, start + len(counts)), counts)
        later = neighbours > queries
        first, second = queries[later], neighbours[later].astype(np.int64)
        ordered = np.lexsort((second, first))  # faiss gives them in the order of its hash tables
        yield first[ordered], second[ordered]


def _runs(ordered: np.ndarray) -> np.ndarray:
    """Where each run of equal values begins, and the end, int64 (runs + 1,)."""
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    return np.append(begins, len(ordered))


def _clusters(links: list[Links], count: int) -> np.ndarray:
    first, second = (np.concatenate(side) for side in zip(*links, strict=True))
    return _components(first, second, count)


def _components(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """The cluster of each of `count` pictures linked so, int64 (count,)."""
    edges = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    return connected_components(edges, directed=False)[1].astype(np.int64)
