"""k-means of weights: exact Lloyd iterations of single numbers, and scikit-learn's of short vectors."""

from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

Start = Literal["linear", "density", "k-means++"]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint8]

ITERATIONS = 300
"""Lloyd iterations at most; nearly always the assignment repeats itself long before."""
DRAWN_FROM = 100_000
"""Values that k-means++ draws its centroids from, evenly spaced among the sorted ones."""
FITTED_ON = 200_000
"""Vectors that centroids are fitted on, drawn by chance; all are assigned to them."""


def scalar(values: Floats, k: int, start: Start, random: np.random.Generator) -> tuple[Floats, Indices]:
    """Cluster `values` (n,), n ≥ 1, to at most `k` ≤ 256 centroids: the centroids, ascending, and (n,) indices.

    No more than `k` distinct values are their own centroids. Otherwise Lloyd's iterations (1982) from a start
    as Han et al. 2016 (section 3.2) have it: `linear` over the range, `density` at equal shares of the values,
    or k-means++ (Arthur & Vassilvitskii 2007). Sorted once, a cluster is a range, and its mean is a difference
    of prefix sums: an iteration takes O(k log n). A centroid that no value is nearest to keeps its place.
    """
    ordered = np.sort(values)
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]
    centroids = distinct if len(distinct) <= k else _lloyd(ordered, _start(ordered, k, start, random))
    return centroids, _nearest(values, centroids)


def _lloyd(ordered: Floats, centroids: Floats) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    before = np.empty(0, np.int64)
    for _ in range(ITERATIONS):
        edges = np.searchsorted(ordered, _midpoints(centroids))
        if np.array_equal(edges, before):
            break
        bounds = np.concatenate([[0], edges, [len(ordered)]])
        counts = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(counts, 1)
        centroids = np.sort(np.where(counts > 0, means, centroids))
        before = edges
    return centroids


def _midpoints(centroids: Floats) -> Floats:
    return (centroids[1:] + centroids[:-1]) / 2


def _nearest(values: Floats, centroids: Floats) -> Indices:
    return np.searchsorted(_midpoints(centroids), values).astype(np.uint8)


def _start(ordered: Floats, k: int, start: Start, random: np.random.Generator) -> Floats:
    match start:
        case "linear":
            return np.linspace(ordered[0], ordered[-1], k)
        case "density":
            return ordered[((np.arange(k) + 0.5) / k * len(ordered)).astype(np.int64)]
        case "k-means++":
            return _plus_plus(ordered[:: -(-len(ordered) // DRAWN_FROM)], k, random)
        case _:
            assert_never(start)


def _plus_plus(values: Floats, k: int, random: np.random.Generator) -> Floats:
    """Each further centroid is a value drawn in proportion to its squared distance from the nearest so far."""
    chosen = [float(values[random.integers(len(values))])]
    distances = (values - chosen[0]) ** 2
    while len(chosen) < k:
        total = np.cumsum(distances)
        drawn = values[min(np.searchsorted(total, random.random() * total[-1]), len(values) - 1)]
        chosen.append(float(drawn))
        distances = np.minimum(distances, (values - drawn) ** 2)
    return np.sort(np.array(chosen))


def vectors(rows: Floats, k: int, seed: int) -> tuple[Floats, Indices]:
    """Cluster `rows` (n, d) to at most `k` ≤ 256 centroids (K, d); the centroids and (n,) indices.

    No more than `k` distinct rows are their own centroids; otherwise k-means++ and Lloyd of scikit-learn.
    """
    distinct, indices = np.unique(rows, axis=0, return_inverse=True)
    if len(distinct) <= k:
        return distinct, indices.reshape(-1).astype(np.uint8)
    from sklearn.cluster import KMeans

    sample = rows
    if len(rows) > FITTED_ON:
        sample = rows[np.random.default_rng(seed).choice(len(rows), FITTED_ON, replace=False)]
    fitted = KMeans(k, n_init=1, random_state=seed % 2**32).fit(sample)
    return fitted.cluster_centers_, fitted.predict(rows).astype(np.uint8)
