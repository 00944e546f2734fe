"""The hierarchical bootstrap of a study: how far a difference of arms would vary over other seeds and other images.

Seeds and images are crossed: each seed of each arm predicts the same images. A resample draws groups of images, the
same for all arms and seeds, so that what an image does to both arms of a pair cancels. What the draws of seeds add to
its variance has a closed form (the variance over seeds), so only groups are drawn, and the two parts can be corrected
for the few seeds: see `spread`.

Only sums over groups are kept, of at most `BLOCKS` groups: where there are more, groups are thrown together at random.
So a study of a million images needs no more memory for its resamples than one of two thousand.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fakeprint.evaluation import bootstrap
from fakeprint.evaluation.bootstrap import Totals
from fakeprint.evaluation.predictions import Predictions

BLOCKS = 2048
NEGLIGIBLE = 1e-24  # a variance up to this is rounding


def identities(predictions: Predictions) -> np.ndarray:
    """A number for each image's group that is the same in all cells that have the group's images, uint64 (N,).

    It is the least hash of its image ids; the group numbers themselves may differ where a cell draws other splits.
    """
    hashes = pd.util.hash_array(np.asarray(predictions.image_ids), categorize=False)
    _, first, inverse = np.unique(predictions.groups, return_index=True, return_inverse=True)
    least = hashes[first]
    np.minimum.at(least, inverse, hashes)
    return np.asarray(least[inverse])


@dataclass(frozen=True)
class Blocks:
    """Which block each group of images belongs to.

    known: the identities of all groups, sorted, where each is a block of its own; else None. count: of blocks.
    """

    known: np.ndarray | None
    count: int

    def of(self, predictions: Predictions) -> np.ndarray:
        """The block of each image, int (N,), of a sample that `blocks_of` has seen."""
        found = identities(predictions)
        if self.known is None:
            return (found % np.uint64(self.count)).astype(np.int64)
        return np.searchsorted(self.known, found)


def blocks_of(samples: Iterable[Predictions]) -> Blocks:
    """Blocks for the labelled images of all these samples, which are looked at one after the other."""
    known = np.empty(0, dtype=np.uint64)
    for predictions in samples:
        known = np.union1d(known, identities(predictions.labelled))
        if len(known) > BLOCKS:
            return Blocks(None, BLOCKS)
    return Blocks(known, len(known))


def block_totals(predictions: Predictions, blocks: Blocks, bins: int) -> Totals:
    """Sums over the labelled images of each block. bins: of the calibration error."""
    predictions = predictions.labelled
    found = bootstrap.totals_of(predictions.labels, predictions.probabilities, blocks.of(predictions), bins)
    missing = blocks.count - found.loss.shape[-1]  # `totals_of` ends at the last block that has images
    return Totals(*(np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, missing)]) for part in vars(found).values()))


def resampled(
    totals: Mapping[tuple[str, int], Totals], blocks: int, figures: Sequence[str], seed: int
) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """The figures of each cell in each resample, float (B,); of the names in `figures` those that sums define.

    totals: by (arm, replicate), `blocks` blocks each. All cells see the same draws of blocks. NaN where a draw has no
    image of the cell.
    """
    drawn = np.concatenate(list(bootstrap.weights(blocks, seed)), axis=1)  # 32 MB at most
    found = {}
    for cell, sums in totals.items():
        of_cell = sums.weighted(drawn).figures()
        found[cell] = {name: of_cell[name] for name in figures if name in of_cell}
    return found


@dataclass(frozen=True)
class Spread:
    """The standard error of a mean difference, and the degrees of freedom of its Student's t."""

    error: float
    freedom: float


def spread(
    differences: np.ndarray, resamples: np.ndarray | None = None, blocks: int = 0, held_out: float = 0.0
) -> Spread:
    """How far the mean difference over n ≥ 2 seeds would vary over other seeds and other images.

    A difference is made up of what the seed does to it, what the images do to it with every seed, and what is left: the
    images on which this seed differs from the others. The mean over S seeds and G groups has the variance
    σ²(seed) / S + σ²(images) / G + σ²(left) / SG. Its parts follow from two variances that overlap in the last one:
    over seeds, and over resamples of groups. A plain hierarchical bootstrap (percentiles over draws of seeds, then
    groups) takes the seeds' variance too small by (S − 1) / S, counts the last part up to three times (Owen 2007,
    doi 10.1214/07-AOAS122) and ignores that a variance of 5 seeds is itself uncertain. Here each is counted once, and
    the degrees of freedom are Satterthwaite's (1946).

    differences: float (S,), of the seeds. resamples: float (S, B), the same differences in resamples of groups, each
    the same groups for all seeds; None where no predictions are known: then the error is that over seeds alone.
    blocks: that were drawn from. held_out: as for `paired.corrected_t`.
    """
    n = len(differences)
    over_seeds = float(np.var(differences, ddof=1)) * (1 / n + held_out)
    if over_seeds <= NEGLIGIBLE:
        over_seeds = 0.0
    if resamples is None or blocks < 2:
        return Spread(float(np.sqrt(over_seeds)), n - 1)
    scale = blocks / (blocks - 1)
    over_images = float(np.var(resamples.mean(axis=0))) * scale
    both = max(0.0, (float(np.var(resamples, axis=1).mean()) * scale - over_images) / (n - 1))
    total = max(over_seeds, over_images + max(0.0, over_seeds - both))
    if total <= NEGLIGIBLE:
        return Spread(0.0, n - 1)
    freedom = total**2 / (over_seeds**2 / (n - 1) + over_images**2 / (blocks - 1))
    return Spread(float(np.sqrt(total)), float(min(freedom, n + blocks - 2)))
