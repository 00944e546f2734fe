"""Time of a k-NN search by faiss compared with scikit-learn's brute force.

L1, 12,500 histograms of 512 bins, 1,250 and 2,500 queries.

Before anything is timed, the benchmark asserts that both find the same neighbours.
`python -m benchmarks.knn [--json FILE]`
"""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from benchmarks.table import Row, json_option, measure_in_turn, report, row
from fakeprint import seeds
from fakeprint.models.classifiers.neighbours import search

ROWS, BINS, K = 12_500, 512, 21
QUERIES = (1_250, 2_500)
GOAL = 8.0


def histograms(count: int, purpose: str) -> np.ndarray:
    """Random histograms that sum to one, float32 (count, BINS); most bins are nearly empty, as in real ones."""
    return seeds.generator(7, purpose).dirichlet(np.full(BINS, 0.1), count).astype(np.float32)


def compare(rows: np.ndarray, queries: np.ndarray, repeats: int) -> Row:
    """Seconds of one exact L1 search of all queries."""
    peer = NearestNeighbors(n_neighbors=K, metric="manhattan", algorithm="brute", n_jobs=-1).fit(rows)
    require_same_neighbours(rows, queries[:300], peer)
    ours_seconds, peer_seconds = measure_in_turn(
        lambda: search(rows, queries, K, "l1"), lambda: peer.kneighbors(queries), repeats
    )
    name = f"k-NN, L1, {len(rows):,}×{BINS}, {len(queries):,} queries"
    return row(name, ours_seconds, peer_seconds, "s", "lower", GOAL)


def require_same_neighbours(rows: np.ndarray, queries: np.ndarray, peer: NearestNeighbors) -> None:
    """Assert the same rows in the same order, up to ties in the last digits of float32."""
    distances, nearest = search(rows, queries, K, "l1")
    peer_distances, peer_nearest = peer.kneighbors(queries)
    np.testing.assert_allclose(distances, peer_distances, rtol=1e-5)
    assert np.mean(nearest == peer_nearest) > 0.999


def main() -> None:
    json_path = json_option(__doc__)
    rows, queries = histograms(ROWS, "rows"), histograms(max(QUERIES), "queries")
    results = [compare(rows, queries[:count], repeats=5) for count in QUERIES]
    report(results, "k-NN search: faiss (ours) and scikit-learn's brute force (peer)", json_path)


if __name__ == "__main__":
    main()
